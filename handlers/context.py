"""What a handler gets by keyword name beside aiogram's own, and how it speaks to the person."""

from dataclasses import dataclass

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from services.dispatch import OrderDispatcher
from services.generation.context import UserCatalogue
from services.generation.inputs import UserOptions
from services.generation.spec import ServiceSpec
from services.messaging.app_context import AppContext
from services.messaging.telegram_errors import is_edit_unnecessary
from storage.money.ledger import Balance, get_balance
from storage.users.users import User


@dataclass(frozen=True)
class UserContext:
    """One person at the counter: who they are, in which bot and chat, and the studio behind it."""

    app: AppContext
    dispatcher: OrderDispatcher
    user: User
    bot_name: str
    chat_id: int
    initial_balance: Balance
    """As it was when the update came: right as long as its handler has moved no credits."""
    support_contact: str = ""

    def t(self, key: str, n: int | None = None, /, **params: str | int) -> str:
        """A text in the person's language."""
        return self.app.texts.t(self.user.language, key, n, **params)

    async def user_options(self, spec: ServiceSpec) -> UserOptions:
        """What only this person can choose in an order of this service."""
        return await spec.user_options(UserCatalogue(self.app.db, self.app.providers, self.user.id))

    @property
    def bot(self) -> Bot:
        return self.app.bot_or_default(self.bot_name)

    async def balance(self) -> Balance:
        return await get_balance(self.app.db, self.user.id)

    async def send(self, text: str, markup: InlineKeyboardMarkup | None = None) -> Message:
        return await self.app.bot_or_default(self.bot_name).send_message(self.chat_id, text, reply_markup=markup)

    async def edit_or_send(
        self, callback: CallbackQuery, text: str, markup: InlineKeyboardMarkup | None = None
    ) -> int:
        """Turn the message that was tapped into this; where it cannot be edited, send a new one.

        Gives the id of the message that shows it now.
        """
        message = callback.message
        if isinstance(message, Message) and message.text is not None:
            try:
                await message.edit_text(text, reply_markup=markup)
            except TelegramAPIError as error:
                if "not modified" not in error.message and not is_edit_unnecessary(error):
                    raise
                if "not modified" not in error.message:
                    return (await self.send(text, markup)).message_id
            return message.message_id
        return (await self.send(text, markup)).message_id


async def answer_callback(callback: CallbackQuery, text: str | None = None, *, alert: bool = False) -> None:
    """Stop the button's spinner. Telegram refuses this after a while, which harms nobody."""
    try:
        await callback.answer(text, show_alert=alert)
    except TelegramAPIError as error:
        logger.debug("a tap was not answered: {}", error.message)
