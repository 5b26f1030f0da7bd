"""The tasks of a broadcast: send a copy to each recipient, or edit or delete the copies.

The loop over the recipients is in delivery.py. A task claims recipients, makes the call for one, and converts
Telegram's errors to outcomes.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramNetworkError, TelegramRetryAfter

from services.broadcast.content import Content
from services.messaging.telegram_errors import is_unsent, is_user_unreachable
from storage.messaging.broadcast_recipients import (
    EditOutcome,
    Recipient,
    SendOutcome,
    claim_recipients,
    next_edits,
    save_edit_outcomes,
    save_send_outcomes,
)
from storage.messaging.broadcasts import Broadcast
from storage.pool import Pool

_MAX_ERROR_LENGTH: Final = 200
_CONTENT_GONE_MESSAGES: Final = (
    "message to copy not found",
    "there are no messages to copy",
    "message can't be copied",
)
_ALREADY_DONE_MESSAGES: Final = ("message is not modified", "message to delete not found")


@dataclass(frozen=True)
class SendTask:
    """Sends to each recipient at most once.

    Recipients are marked before the call. If the answer is lost, the recipient is recorded as `unknown` and nothing is
    sent to them again.

    Attributes:
        db: The database.
        bot: The bot that sends.
        broadcast: The broadcast.
        worker_id: The id of this step's claim on the broadcast. Once another step has claimed the broadcast, this one
            can claim no recipients.
    """

    db: Pool
    bot: Bot
    broadcast: Broadcast
    worker_id: UUID

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        """Mark the next recipients as being sent to."""
        return await claim_recipients(self.db, self.broadcast.id, self.worker_id, after=after, limit=limit)

    async def call(self, recipient: Recipient, content: Content) -> SendOutcome:
        """Send a recipient their copy, silently during their quiet hours. Raises TelegramAPIError."""
        paid, silent = self.broadcast.paid, recipient.silent
        ids = await send_copy(self.bot, content, recipient.user_id, paid=paid, silent=silent)
        return SendOutcome(recipient.user_id, "sent", ids)

    def outcome_of_error(self, recipient: Recipient, error: TelegramAPIError) -> SendOutcome:
        """Return `waiting` (try again) if nothing was sent and the recipient is not to blame, else a final outcome."""
        if _is_unprocessed(error) or is_content_gone(error):
            return SendOutcome(recipient.user_id, "waiting")
        reason = error.message[:_MAX_ERROR_LENGTH]
        if isinstance(error, TelegramNetworkError):
            return SendOutcome(recipient.user_id, "unknown", error=reason)
        return SendOutcome(recipient.user_id, "blocked" if is_user_unreachable(error) else "failed", error=reason)

    async def save(self, outcomes: list[SendOutcome]) -> None:
        """Save the outcomes of calls, and mark users who blocked the bot as inactive."""
        async with self.db.acquire() as connection, connection.transaction():
            await save_send_outcomes(connection, self.broadcast.id, self.worker_id, outcomes)


@dataclass(frozen=True)
class EditTask:
    """Edits or deletes the copies that were sent.

    A repeated call changes nothing, so recipients are not marked before it. If Telegram refuses, the copy is left as it
    is. For the attributes, see `SendTask`.
    """

    db: Pool
    bot: Bot
    broadcast: Broadcast
    worker_id: UUID

    async def claim(self, limit: int, after: int) -> list[Recipient]:
        """Return the next recipients whose copy has to be edited or deleted."""
        return await next_edits(self.db, self.broadcast.id, self.worker_id, after=after, limit=limit)

    async def call(self, recipient: Recipient, content: Content) -> EditOutcome:
        """Edit or delete a recipient's copy. Raises TelegramAPIError."""
        if self.broadcast.task == "delete":
            await _delete_copy(self.bot, recipient)
        else:
            await _edit_copy(self.bot, content, self.broadcast.change["html"], recipient)
        return EditOutcome(recipient.user_id, "done")

    def outcome_of_error(self, recipient: Recipient, error: TelegramAPIError) -> EditOutcome:
        """Return `waiting` (try again) if Telegram processed nothing, else a final outcome."""
        if _is_unprocessed(error):
            return EditOutcome(recipient.user_id, "waiting")
        if any(each in error.message.lower() for each in _ALREADY_DONE_MESSAGES):
            return EditOutcome(recipient.user_id, "done")
        return EditOutcome(recipient.user_id, "refused", error.message[:_MAX_ERROR_LENGTH])

    async def save(self, outcomes: list[EditOutcome]) -> None:
        """Save the outcomes of calls."""
        await save_edit_outcomes(self.db, self.broadcast.id, outcomes)


async def send_copy(
    bot: Bot, content: Content, user_id: int, *, paid: bool = False, silent: bool = False
) -> tuple[int, ...]:
    """Send a user a copy of the admin's messages.

    Args:
        bot: The bot that received the admin's messages.
        content: The messages to copy.
        user_id: The user who gets the copy.
        paid: Whether to send at the paid rate, which costs the bot Stars. Not possible for an album.
        silent: Whether to send it without a sound.

    Returns:
        The ids of the copies.

    Raises:
        TelegramAPIError: Telegram refuses or cannot be reached.
    """
    if content.is_album:
        ids = list(content.message_ids)
        copies = await bot.copy_messages(user_id, content.chat_id, ids, disable_notification=silent or None)
        return tuple(each.message_id for each in copies)
    (message_id,) = content.message_ids
    copied = await bot.copy_message(
        user_id,
        content.chat_id,
        message_id,
        reply_markup=content.keyboard,
        allow_paid_broadcast=paid or None,
        disable_notification=silent or None,
    )
    return (copied.message_id,)


def is_content_gone(error: TelegramAPIError) -> bool:
    """Whether the admin's message cannot be copied, so that sending would fail for every recipient."""
    return isinstance(error, TelegramBadRequest) and any(
        each in error.message.lower() for each in _CONTENT_GONE_MESSAGES
    )


async def _edit_copy(bot: Bot, content: Content, html: str, recipient: Recipient) -> None:
    chat_id, ids = recipient.user_id, recipient.message_ids
    if content.kind == "text":
        await bot.edit_message_text(html, chat_id=chat_id, message_id=ids[0], reply_markup=content.keyboard)
        return
    captioned = ids[min(content.captioned, len(ids) - 1)]
    await bot.edit_message_caption(
        chat_id=chat_id, message_id=captioned, caption=html, reply_markup=content.keyboard
    )


async def _delete_copy(bot: Bot, recipient: Recipient) -> None:
    ids = recipient.message_ids
    if len(ids) == 1:
        await bot.delete_message(recipient.user_id, ids[0])
    else:
        await bot.delete_messages(recipient.user_id, list(ids))


def _is_unprocessed(error: TelegramAPIError) -> bool:
    """Whether Telegram did nothing, because of a rate limit or a failed connection."""
    return isinstance(error, TelegramRetryAfter) or (isinstance(error, TelegramNetworkError) and is_unsent(error))
