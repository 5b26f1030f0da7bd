"""What a broadcast does with each of its people: send, or change or take back what was sent."""

from functools import partial

from aiogram.exceptions import TelegramAPIError, TelegramNetworkError
from loguru import logger

from services.broadcast.content import Content
from services.broadcast.delivery_pass import DeliveryPass
from services.broadcast.telegram_calls import delete_copy, edit_copy, is_already_done, is_content_gone, send_copy
from services.durable.steps import retry_while_db_unavailable
from services.messaging.telegram_errors import is_user_unreachable
from storage.messaging.broadcast_recipients import (
    EditOutcome,
    Recipient,
    SendOutcome,
    claim_recipients,
    mark_unanswered_unknown,
    next_edits,
    save_edit_outcomes,
    save_send_outcomes,
)
from storage.messaging.broadcasts import pause_broadcast

_MAX_ERROR_LENGTH = 200


class SendPass(DeliveryPass[SendOutcome]):
    """To each at most once: whose answer is not known is written down as such, and not sent to again."""

    async def run(self) -> None:
        unanswered = await retry_while_db_unavailable(
            partial(mark_unanswered_unknown, self.studio.db, self.broadcast.id, self.worker_id)
        )
        if unanswered:
            logger.warning("broadcast {}: whether {} people got it is unknown", self.broadcast.id, unanswered)
        await super().run()

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        return await claim_recipients(self.studio.db, self.broadcast.id, self.worker_id, after=after, limit=limit)

    async def call(self, recipient: Recipient, content: Content) -> SendOutcome:
        ids = await send_copy(
            self.bot, content, recipient.user_id, paid=self.broadcast.paid, silent=recipient.silent
        )
        return SendOutcome(recipient.user_id, "sent", ids)

    def outcome_of_error(self, recipient: Recipient, error: TelegramAPIError) -> SendOutcome:
        reason = error.message[:_MAX_ERROR_LENGTH]
        if isinstance(error, TelegramNetworkError):
            return SendOutcome(recipient.user_id, "unknown", error=reason)
        if is_content_gone(error):
            self._pause_broadcast(error)
            return self.outcome_to_retry(recipient)
        return SendOutcome(recipient.user_id, "blocked" if is_user_unreachable(error) else "failed", error=reason)

    def _pause_broadcast(self, error: TelegramAPIError) -> None:
        """It would fail for everybody: better paused than failed."""
        logger.error("broadcast {} is paused: {}", self.broadcast.id, error.message)
        self.rate_limiter.pause(1.0)
        self.studio.background.spawn(pause_after_error(self), "broadcast-halt")

    def outcome_to_retry(self, recipient: Recipient) -> SendOutcome:
        return SendOutcome(recipient.user_id, "waiting")

    async def save_outcomes(self, outcomes: list[SendOutcome]) -> None:
        async with self.studio.db.acquire() as connection, connection.transaction():
            await save_send_outcomes(connection, self.broadcast.id, self.worker_id, outcomes)


async def pause_after_error(send_pass: SendPass) -> None:
    await retry_while_db_unavailable(partial(pause_broadcast, send_pass.studio.db, send_pass.broadcast.id))


class EditPass(DeliveryPass[EditOutcome]):
    """Edits and deletes may come twice, so nobody is marked before; what Telegram refuses is kept."""

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        return await next_edits(self.studio.db, self.broadcast.id, self.worker_id, after=after, limit=limit)

    async def call(self, recipient: Recipient, content: Content) -> EditOutcome:
        if self.broadcast.task == "delete":
            await delete_copy(self.bot, recipient.user_id, recipient.message_ids)
        else:
            await edit_copy(
                self.bot, content, self.broadcast.change["html"], recipient.user_id, recipient.message_ids
            )
        return EditOutcome(recipient.user_id, "done")

    def outcome_of_error(self, recipient: Recipient, error: TelegramAPIError) -> EditOutcome:
        if is_already_done(error):
            return EditOutcome(recipient.user_id, "done")
        return EditOutcome(recipient.user_id, "refused", error.message[:_MAX_ERROR_LENGTH])

    def outcome_to_retry(self, recipient: Recipient) -> EditOutcome:
        return EditOutcome(recipient.user_id, "waiting")

    async def save_outcomes(self, outcomes: list[EditOutcome]) -> None:
        await save_edit_outcomes(self.studio.db, self.broadcast.id, outcomes)
