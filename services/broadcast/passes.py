"""What a broadcast does with each of its people: send, or change or take back what was sent."""

from functools import partial

from aiogram.exceptions import TelegramAPIError, TelegramNetworkError
from loguru import logger

from services.broadcast.content import Content
from services.broadcast.delivery_pass import Pass
from services.broadcast.telegram_calls import content_is_gone, copy, delete, edit, is_done_already
from services.durable.steps import patiently
from services.messaging.telegram_errors import person_is_gone
from storage.messaging.broadcast_recipients import (
    Ended,
    Recipient,
    Revised,
    claim_recipients,
    end_recipients,
    end_revisions,
    forget_unanswered,
    next_revisions,
)
from storage.messaging.broadcasts import pause_broadcast

_ERROR_LENGTH = 200


class Sending(Pass[Ended]):
    """To each at most once: whose answer is not known is written down as such, and not sent to again."""

    async def run(self) -> None:
        left = await patiently(partial(forget_unanswered, self.studio.db, self.broadcast.id, self.runner))
        if left:
            logger.warning("broadcast {}: whether {} people got it is unknown", self.broadcast.id, left)
        await super().run()

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        return await claim_recipients(self.studio.db, self.broadcast.id, self.runner, after=after, limit=limit)

    async def call(self, recipient: Recipient, content: Content) -> Ended:
        ids = await copy(self.bot, content, recipient.user_id, paid=self.broadcast.paid, silent=recipient.silent)
        return Ended(recipient.user_id, "sent", ids)

    def end_of(self, recipient: Recipient, error: TelegramAPIError) -> Ended:
        why = error.message[:_ERROR_LENGTH]
        if isinstance(error, TelegramNetworkError):
            return Ended(recipient.user_id, "unknown", error=why)
        if content_is_gone(error):
            self._halt(error)
            return self.again(recipient)
        return Ended(recipient.user_id, "blocked" if person_is_gone(error) else "failed", error=why)

    def _halt(self, error: TelegramAPIError) -> None:
        """It would fail for everybody: better paused than failed."""
        logger.error("broadcast {} is paused: {}", self.broadcast.id, error.message)
        self.pacer.pause(1.0)
        self.studio.background.spawn(pause(self), "broadcast-halt")

    def again(self, recipient: Recipient) -> Ended:
        return Ended(recipient.user_id, "waiting")

    async def write(self, ends: list[Ended]) -> None:
        async with self.studio.db.acquire() as connection, connection.transaction():
            await end_recipients(connection, self.broadcast.id, self.runner, ends)


async def pause(sending: Sending) -> None:
    await patiently(partial(pause_broadcast, sending.studio.db, sending.broadcast.id))


class Revising(Pass[Revised]):
    """Edits and deletes may come twice, so nobody is marked before; what Telegram refuses is kept."""

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        return await next_revisions(self.studio.db, self.broadcast.id, self.runner, after=after, limit=limit)

    async def call(self, recipient: Recipient, content: Content) -> Revised:
        if self.broadcast.task == "delete":
            await delete(self.bot, recipient.user_id, recipient.message_ids)
        else:
            await edit(self.bot, content, self.broadcast.change["html"], recipient.user_id, recipient.message_ids)
        return Revised(recipient.user_id, "done")

    def end_of(self, recipient: Recipient, error: TelegramAPIError) -> Revised:
        if is_done_already(error):
            return Revised(recipient.user_id, "done")
        return Revised(recipient.user_id, "refused", error.message[:_ERROR_LENGTH])

    def again(self, recipient: Recipient) -> Revised:
        return Revised(recipient.user_id, "waiting")

    async def write(self, ends: list[Revised]) -> None:
        await end_revisions(self.studio.db, self.broadcast.id, ends)
