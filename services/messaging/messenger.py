"""Sends messages to users, and turns Telegram's errors into failures."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup, ReplyParameters
from loguru import logger

from services.core.edit_throttle import EditThrottle
from services.core.errors import PermanentFailure
from services.core.i18n import Texts
from services.messaging.bots import Bots
from services.messaging.telegram_errors import is_edit_unnecessary, is_user_unreachable, to_delivery_failure
from storage.pool import Pool
from storage.users.users import set_inactive

T = TypeVar("T")


@dataclass(frozen=True)
class Messenger:
    """Sends messages to users.

    Methods raise Unavailable if Telegram cannot be reached, and PermanentFailure if it refuses.

    Attributes:
        db: The database, in which unreachable users are marked inactive.
        bots: The bots that send.
        texts: The texts.
        throttle: Limits how often a progress message is edited.
    """

    db: Pool
    bots: Bots
    texts: Texts
    throttle: EditThrottle = field(default_factory=EditThrottle)

    async def call(self, user_id: int, bot_name: str, send: Callable[[Bot], Awaitable[T]]) -> T | None:
        """Make a Bot API call that concerns a user's chat.

        Args:
            user_id: The user.
            bot_name: The bot that makes the call.
            send: Makes the call.

        Returns:
            The result of the call. None if this bot cannot reach the user; if it is the user's current bot, the user
            is then marked inactive.

        Raises:
            Failure: Telegram cannot be reached or refuses.
        """
        try:
            return await send(self.bots.get(bot_name))
        except TelegramAPIError as error:
            if not is_user_unreachable(error):
                raise to_delivery_failure(error) from error
            logger.info("user is unreachable", user=user_id, bot=bot_name, error=error.message)
            await set_inactive(self.db, user_id, bot_name)
            return None

    async def send_text(
        self,
        user_id: int,
        bot_name: str,
        text: str,
        markup: InlineKeyboardMarkup | None = None,
        *,
        silent: bool = False,
        reply_to: int | None = None,
    ) -> int | None:
        """Send an HTML message.

        Args:
            user_id: The user. Their private chat has the same id.
            bot_name: The bot that sends.
            text: HTML that fits into one message.
            markup: The buttons.
            silent: Whether to send it without a sound.
            reply_to: The id of the message to reply to. The message is sent even if that one has been deleted.

        Returns:
            The message's id, or None if the user is unreachable.

        Raises:
            Failure: Telegram cannot be reached or refuses.
        """
        reply = ReplyParameters(message_id=reply_to, allow_sending_without_reply=True) if reply_to else None
        sent = await self.call(
            user_id,
            bot_name,
            lambda bot: bot.send_message(
                user_id, text, reply_markup=markup, disable_notification=silent or None, reply_parameters=reply
            ),
        )
        return sent.message_id if sent is not None else None

    async def send_image(
        self,
        user_id: int,
        bot_name: str,
        content: bytes,
        filename: str,
        *,
        caption: str,
        markup: InlineKeyboardMarkup | None = None,
    ) -> int | None:
        """Send a photo with an HTML caption. For the other arguments and errors, see `send_text`."""
        sent = await self.call(
            user_id,
            bot_name,
            lambda bot: bot.send_photo(
                user_id, BufferedInputFile(content, filename), caption=caption, reply_markup=markup
            ),
        )
        return sent.message_id if sent is not None else None

    async def send_dice(self, user_id: int, bot_name: str) -> int:
        """Send a die to a user's chat.

        Returns:
            The value rolled, 1 to 6. Telegram chooses it, so the bot cannot influence it.

        Raises:
            Failure: Telegram cannot be reached or refuses, or the user is unreachable.
        """
        sent = await self.call(user_id, bot_name, lambda bot: bot.send_dice(user_id))
        if sent is None:
            raise PermanentFailure("failure.unreachable")
        if sent.dice is None:
            raise PermanentFailure("failure.telegram", detail="Telegram sent a die without a value")
        return sent.dice.value

    async def edit_or_send(
        self, user_id: int, bot_name: str, text: str, markup: InlineKeyboardMarkup | None, message_id: int | None
    ) -> None:
        """Edit a message, or send a new one if `message_id` is None or the message can no longer be edited.

        Idempotent. For the arguments and errors, see `send_text`.
        """
        if message_id is not None and await self._try_edit(user_id, bot_name, text, markup, message_id):
            return
        await self.send_text(user_id, bot_name, text, markup)

    async def _try_edit(
        self, user_id: int, bot_name: str, text: str, markup: InlineKeyboardMarkup | None, message_id: int
    ) -> bool:
        async def edit(bot: Bot) -> bool:
            try:
                await bot.edit_message_text(text, chat_id=user_id, message_id=message_id, reply_markup=markup)
            except TelegramAPIError as error:
                if not is_edit_unnecessary(error):
                    raise
                return "not modified" in error.message
            return True

        edited = await self.call(user_id, bot_name, edit)
        return edited is None or edited

    async def delete_message(self, bot_name: str, chat_id: int, message_id: int) -> bool:
        """Delete a message of ours. Returns False if Telegram refuses, which is only logged."""
        try:
            return await self.bots.get(bot_name).delete_message(chat_id, message_id)
        except TelegramAPIError as error:
            logger.warning(
                "message not deleted", bot=bot_name, chat=chat_id, message=message_id, error=error.message
            )
            return False
