"""Group chats: the bot answers only messages that address it, with a link to its private chat.

All other messages in a group are ignored. Nothing in a group affects a user's private conversation.
"""

from typing import Final

from aiogram import Bot
from aiogram.enums import ChatType, MessageEntityType
from aiogram.exceptions import TelegramAPIError
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageEntity,
    ReplyParameters,
    Update,
    User,
)
from cachetools import TTLCache
from loguru import logger

from services.core.i18n import Texts

_GROUP_CHAT_TYPES: Final = (ChatType.GROUP, ChatType.SUPERGROUP)
_ANSWER_INTERVAL_SECONDS: Final = 3.0
"""A bot may send at most 20 messages per minute to a group:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""
_MAX_REMEMBERED_GROUPS: Final = 10_000


def _is_addressed(message: Message, me: User) -> bool:
    """Whether a message addresses this bot: a command with its name, a mention of it, or a reply to it."""
    if message.from_user is not None and message.from_user.is_bot and message.sender_chat is None:
        return False
    replied = message.reply_to_message
    if replied is not None and replied.from_user is not None and replied.from_user.id == me.id:
        return True
    text, entities = message.text or message.caption or "", message.entities or message.caption_entities or []
    return any(_mentions_bot(each, each.extract_from(text), me) for each in entities)


def _mentions_bot(entity: MessageEntity, text: str, me: User) -> bool:
    if entity.type == MessageEntityType.TEXT_MENTION:
        return entity.user is not None and entity.user.id == me.id
    if entity.type not in (MessageEntityType.MENTION, MessageEntityType.BOT_COMMAND):
        return False
    _, at, name = text.partition("@")
    return bool(at) and name.lower() == (me.username or "").lower()


class Groups:
    """Answers group messages that address a bot, at most one every three seconds per group.

    Args:
        texts: The texts of the answer, which is in the sender's language.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._answered: TTLCache[tuple[int, int], bool] = TTLCache(
            _MAX_REMEMBERED_GROUPS, _ANSWER_INTERVAL_SECONDS
        )

    async def process(self, bot: Bot, update: Update) -> None:
        """Answer an update if it is a group message that addresses the bot.

        If Telegram rejects the answer, that is only logged: the bot may not be allowed to write in that group.
        """
        message = update.message
        if message is None or message.chat.type not in _GROUP_CHAT_TYPES:
            return
        me = await bot.me()
        key = (bot.id, message.chat.id)
        if key not in self._answered and _is_addressed(message, me):
            self._answered[key] = True
            await self._answer(bot, message, me)

    async def _answer(self, bot: Bot, message: Message, me: User) -> None:
        language = self._texts.language_for(message.from_user.language_code if message.from_user else None)
        start_button = InlineKeyboardButton(
            text=self._texts.t(language, "group.button"), url=f"https://t.me/{me.username}?start=group"
        )
        try:
            await bot.send_message(
                message.chat.id,
                self._texts.t(language, "group.hello"),
                message_thread_id=message.message_thread_id if message.is_topic_message else None,
                reply_parameters=ReplyParameters(message_id=message.message_id, allow_sending_without_reply=True),
                reply_markup=InlineKeyboardMarkup(inline_keyboard=[[start_button]]),
            )
        except TelegramAPIError as error:
            logger.debug("group message not answered", error=error.message)
