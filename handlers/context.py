"""What a handler gets by keyword name beside aiogram's own, and how it speaks to the person."""

from dataclasses import dataclass

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from services.dispatch import Dispatcher
from services.generation.context import Shelf
from services.generation.inputs import Offers
from services.generation.spec import ServiceSpec
from services.messaging.app_context import Studio
from services.messaging.telegram_errors import nothing_to_edit
from storage.money.ledger import Balance, get_balance
from storage.users.users import User


@dataclass(frozen=True)
class Desk:
    """One person at the counter: who they are, in which bot and chat, and the studio behind it."""

    studio: Studio
    dispatcher: Dispatcher
    user: User
    bot_name: str
    chat_id: int
    balance_on_arrival: Balance
    """As it was when the update came: right as long as its handler has moved no credits."""
    support_contact: str = ""

    def t(self, key: str, n: int | None = None, /, **params: str | int) -> str:
        """A text in the person's language."""
        return self.studio.texts.t(self.user.language, key, n, **params)

    async def offers(self, spec: ServiceSpec) -> Offers:
        """What only this person can choose in an order of this service."""
        return await spec.offers(Shelf(self.studio.db, self.studio.providers, self.user.id))

    @property
    def bot(self) -> Bot:
        return self.studio.bot(self.bot_name)

    async def balance(self) -> Balance:
        return await get_balance(self.studio.db, self.user.id)

    async def say(self, text: str, markup: InlineKeyboardMarkup | None = None) -> Message:
        return await self.studio.bot(self.bot_name).send_message(self.chat_id, text, reply_markup=markup)

    async def show(self, tap: CallbackQuery, text: str, markup: InlineKeyboardMarkup | None = None) -> int:
        """Turn the message that was tapped into this; where it cannot be edited, send a new one.

        Gives the id of the message that shows it now.
        """
        message = tap.message
        if isinstance(message, Message) and message.text is not None:
            try:
                await message.edit_text(text, reply_markup=markup)
            except TelegramAPIError as error:
                if "not modified" not in error.message and not nothing_to_edit(error):
                    raise
                if "not modified" not in error.message:
                    return (await self.say(text, markup)).message_id
            return message.message_id
        return (await self.say(text, markup)).message_id


async def answer(tap: CallbackQuery, text: str | None = None, *, alert: bool = False) -> None:
    """Stop the button's spinner. Telegram refuses this after a while, which harms nobody."""
    try:
        await tap.answer(text, show_alert=alert)
    except TelegramAPIError as error:
        logger.debug("a tap was not answered: {}", error.message)
