"""Groups: the bot speaks only when it is spoken to, and then says where it can be talked to. It is as silent to
everything else, and nothing that is said in a group touches anybody's own conversation with it."""

import asyncio
from collections import OrderedDict
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
from loguru import logger

from services.core.i18n import Texts

_GROUP_CHAT_TYPES: Final = (ChatType.GROUP, ChatType.SUPERGROUP)
_ANSWER_INTERVAL_SECONDS: Final = 3.0
"""A group gets at most 20 messages a minute:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""
_MAX_REMEMBERED_GROUPS: Final = 10_000


def is_addressed(message: Message, me: User) -> bool:
    """Whether a message means this bot: a command with its name, a mention of it, or a reply to it."""
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
    """Answers where a bot is spoken to in a group, at most once in three seconds."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._answered: OrderedDict[tuple[int, int], float] = OrderedDict()

    async def process(self, bot: Bot, update: Update) -> None:
        message = update.message
        if message is None or message.chat.type not in _GROUP_CHAT_TYPES:
            return
        me = await bot.me()
        if is_addressed(message, me) and self._may_answer(bot.id, message.chat.id):
            await self._answer(bot, message, me)

    def _may_answer(self, bot_id: int, chat_id: int) -> bool:
        now, key = asyncio.get_running_loop().time(), (bot_id, chat_id)
        if now - self._answered.get(key, -_ANSWER_INTERVAL_SECONDS) < _ANSWER_INTERVAL_SECONDS:
            return False
        self._answered[key] = now
        self._answered.move_to_end(key)
        if len(self._answered) > _MAX_REMEMBERED_GROUPS:
            self._answered.popitem(last=False)
        return True

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
        except TelegramAPIError as error:  # the bot may not write in this group: nobody waits for it there
            logger.info("group {} was not answered: {}", message.chat.id, error.message)
