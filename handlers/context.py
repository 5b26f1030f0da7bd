"""The context that handlers get besides aiogram's own arguments: the user, their chat and the app."""

from dataclasses import dataclass, field
from typing import Any

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from loguru import logger

from services.billing.payments import Payments
from services.billing.reconciliation import Reconciliation
from services.billing.refunds import Refunds
from services.core.background import BackgroundTasks
from services.core.errors import Failure
from services.core.i18n import Texts
from services.dispatch import Order, OrderDispatcher
from services.generation.context import Providers, UserCatalogue
from services.generation.inputs import UserOptions
from services.generation.spec import ServiceSpec
from services.jobs.outbox_publisher import OutboxPublisher
from services.jobs.routing import PlanRouter
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.messaging.stars import StarsApi
from services.messaging.telegram_errors import is_edit_unnecessary
from services.users.profile import get_balance
from storage.money.ledger import Balance
from storage.pool import Pool
from storage.users.users import User

View = tuple[str, InlineKeyboardMarkup]
"""The text (HTML) and the buttons of a message. Send it with `ctx.send(*view)`."""


@dataclass(frozen=True)
class AppContext:
    """The parts of the app that handlers use, built once in bot/app.py.

    Attributes:
        db: The connection pool.
        texts: The texts for users, in all languages.
        bots: All bots of this process.
        messenger: Sends messages to any user, not only the one who wrote.
        providers: The providers.
        admins: Telegram user ids of the admins.
        background: Runs work that continues after an update is answered.
        dispatcher: Accepts and cancels orders.
        router: Decides which plan each order goes to; holds the modes.
        publisher: Sends the outbox to Inngest. Wake it after a commit that added to the outbox.
        payments: Invoices and payments.
        refunds: Refunds of payments.
        reconciliation: Compares our payments with Telegram's list.
        stars: Telegram's methods about Stars.
    """

    db: Pool
    texts: Texts
    bots: Bots
    messenger: Messenger
    providers: Providers
    admins: frozenset[int]
    background: BackgroundTasks
    dispatcher: OrderDispatcher
    router: PlanRouter
    publisher: OutboxPublisher
    payments: Payments
    refunds: Refunds
    reconciliation: Reconciliation
    stars: StarsApi


@dataclass(frozen=True)
class UserContext:
    """The user who sent an update, and how to answer them.

    Attributes:
        app: The parts of the app. Most of them are also properties of this class.
        user: The user who sent the update.
        bot_name: The bot that they wrote to.
        chat_id: Their private chat with the bot.
        balance_on_arrival: Their balance when the update arrived. It is out of date once the handler moves credits.
        support_contact: The contact set by the operator; empty for none.
    """

    app: AppContext
    user: User
    bot_name: str
    chat_id: int
    balance_on_arrival: Balance
    support_contact: str = ""
    _user_options: dict[str, UserOptions] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def db(self) -> Pool:
        """The connection pool."""
        return self.app.db

    @property
    def texts(self) -> Texts:
        """All texts. `t` looks up one of them in the user's language."""
        return self.app.texts

    @property
    def language(self) -> str:
        """The language that the bot speaks with the user."""
        return self.user.language

    @property
    def bots(self) -> Bots:
        """All bots of this process."""
        return self.app.bots

    @property
    def bot(self) -> Bot:
        """The bot that the user wrote to."""
        return self.app.bots.get(self.bot_name)

    @property
    def messenger(self) -> Messenger:
        """Sends messages to any user."""
        return self.app.messenger

    @property
    def providers(self) -> Providers:
        """The providers."""
        return self.app.providers

    @property
    def background(self) -> BackgroundTasks:
        """Runs work that continues after the update is answered."""
        return self.app.background

    @property
    def dispatcher(self) -> OrderDispatcher:
        """Accepts and cancels orders."""
        return self.app.dispatcher

    @property
    def router(self) -> PlanRouter:
        """Decides which plan each order goes to."""
        return self.app.router

    @property
    def publisher(self) -> OutboxPublisher:
        """Sends the outbox to Inngest."""
        return self.app.publisher

    @property
    def payments(self) -> Payments:
        """Invoices and payments."""
        return self.app.payments

    @property
    def refunds(self) -> Refunds:
        """Refunds of payments."""
        return self.app.refunds

    @property
    def reconciliation(self) -> Reconciliation:
        """Compares our payments with Telegram's list."""
        return self.app.reconciliation

    @property
    def stars(self) -> StarsApi:
        """Telegram's methods about Stars."""
        return self.app.stars

    @property
    def is_admin(self) -> bool:
        """Whether the user is an admin."""
        return self.user.id in self.app.admins

    def t(self, key: str, n: int | None = None, /, **params: str | int) -> str:
        """A text in the user's language. Takes the arguments of `Texts.t`."""
        return self.app.texts.t(self.user.language, key, n, **params)

    def failure_text(self, failure: Failure) -> str:
        """The text about a failure, in the user's language."""
        return self.t(failure.key, **failure.params)

    async def user_options(self, spec: ServiceSpec) -> UserOptions:
        """What only this user can choose in an order of this service, such as their own models.

        Loaded once per update, so later calls do not see what the handler has added or deleted since the first one.
        """
        options = self._user_options.get(spec.id)
        if options is None:
            options = await spec.user_options(UserCatalogue(self.app.db, self.app.providers, self.user.id))
            self._user_options[spec.id] = options
        return options

    def build_order(
        self, key: str, service: str, inputs: dict[str, Any], progress_message_id: int | None
    ) -> Order:
        """Build an order of this user, to be dispatched.

        Args:
            key: The order key. The same key never becomes a second job.
            service: The id of the service.
            inputs: The values of the inputs, by their ids.
            progress_message_id: The message that will become the progress message; None for none.
        """
        return Order(
            key=key,
            service=service,
            inputs=inputs,
            user_id=self.user.id,
            bot_name=self.bot_name,
            chat_id=self.chat_id,
            language=self.language,
            progress_message_id=progress_message_id,
            discount_percent=self.user.discount,
        )

    async def balance(self) -> Balance:
        """The user's current balance, in credits."""
        return await get_balance(self.app.db, self.user.id)

    async def send(self, text: str, markup: InlineKeyboardMarkup | None = None) -> Message:
        """Send an HTML message to the user's chat. Raises TelegramAPIError."""
        return await self.bot.send_message(self.chat_id, text, reply_markup=markup)

    async def edit_or_send(
        self, callback: CallbackQuery, text: str, markup: InlineKeyboardMarkup | None = None
    ) -> int:
        """Edit the message whose button was tapped. If it cannot be edited, send a new one.

        Args:
            callback: The tap on the button.
            text: The text as HTML.
            markup: The buttons.

        Returns:
            The id of the message that now shows the text.

        Raises:
            TelegramAPIError: Telegram cannot be reached, or rejects the text.
        """
        message = callback.message
        if not isinstance(message, Message) or message.text is None:
            return (await self.send(text, markup)).message_id
        try:
            await message.edit_text(text, reply_markup=markup)
        except TelegramAPIError as error:
            if "not modified" in error.message:
                return message.message_id
            if not is_edit_unnecessary(error):
                raise
            return (await self.send(text, markup)).message_id
        return message.message_id


async def answer_callback(callback: CallbackQuery, text: str | None = None, *, alert: bool = False) -> None:
    """Stop the progress indicator of a tapped button.

    Telegram refuses this after a while (https://core.telegram.org/bots/api#answercallbackquery). That is harmless, so
    errors are only logged.

    Args:
        callback: The tap on the button.
        text: A notice to show over the chat, at most 200 characters; None for none.
        alert: Whether the user has to close the notice.
    """
    try:
        await callback.answer(text, show_alert=alert)
    except TelegramAPIError as error:
        logger.debug("tap not answered", error=error.message)


async def answer_stale(callback: CallbackQuery, ctx: UserContext) -> None:
    """Answer a tap on a button that no longer does anything."""
    await answer_callback(callback, ctx.t("stale.button"), alert=True)
