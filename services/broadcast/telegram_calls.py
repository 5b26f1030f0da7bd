"""The calls of a broadcast, and what Telegram's answers mean for it."""

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramNetworkError
from aiogram.types import Message
from aiohttp import ClientConnectorError

from services.broadcast.content import Content

_CONTENT_GONE_MESSAGES = ("message to copy not found", "there are no messages to copy", "message can't be copied")


async def send_copy(
    bot: Bot, content: Content, user_id: int, *, paid: bool = False, silent: bool = False
) -> tuple[int, ...]:
    """Bring it to somebody; the ids of what they got. Raises TelegramAPIError."""
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


async def edit_copy(
    bot: Bot, content: Content, html: str, user_id: int, message_ids: tuple[int, ...]
) -> Message | bool:
    """Give what somebody got new words. Raises TelegramAPIError."""
    if content.kind == "text":
        return await bot.edit_message_text(
            html, chat_id=user_id, message_id=message_ids[0], reply_markup=content.keyboard
        )
    caption_index = min(content.captioned, len(message_ids) - 1)
    return await bot.edit_message_caption(
        chat_id=user_id, message_id=message_ids[caption_index], caption=html, reply_markup=content.keyboard
    )


async def delete_copy(bot: Bot, user_id: int, message_ids: tuple[int, ...]) -> bool:
    """Take back what somebody got. Raises TelegramAPIError."""
    if len(message_ids) == 1:
        return await bot.delete_message(user_id, message_ids[0])
    return await bot.delete_messages(user_id, list(message_ids))


def was_not_sent(error: TelegramNetworkError) -> bool:
    """Whether the connection was not even made: then nobody got anything, and it may be tried again."""
    return isinstance(error.__cause__, ClientConnectorError)


def is_content_gone(error: TelegramAPIError) -> bool:
    """Whether the admin's own message cannot be copied (any more): it would fail for everybody."""
    return isinstance(error, TelegramBadRequest) and any(
        words in error.message.lower() for words in _CONTENT_GONE_MESSAGES
    )


def is_already_done(error: TelegramAPIError) -> bool:
    """Whether an edit or delete finds what it wanted."""
    return (
        "message is not modified" in error.message.lower()
        or "message to delete not found" in error.message.lower()
    )
