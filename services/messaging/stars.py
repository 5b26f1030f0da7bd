"""Telegram Stars: invoices, refunds, subscriptions and the list of payments, without aiogram's types in its interface.

Rules: https://core.telegram.org/bots/payments-stars
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
)
from aiogram.types import LabeledPrice, StarTransaction, TransactionPartnerUser

from services.messaging.bots import Bots

CURRENCY: Final = "XTR"
_PAGE_SIZE: Final = 100
_ALREADY_REFUNDED: Final = "CHARGE_ALREADY_REFUNDED"


class StarsError(Exception):
    """A request about Stars failed. The message is Telegram's."""


class RefundRefused(StarsError):
    """Telegram will never make this refund."""


class RefundDelayed(StarsError):
    """Telegram could not make this refund now. `retry_after` is how many seconds it asked to wait, if it did."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class StarInvoice:
    """An invoice of one price.

    Attributes:
        title: What is sold, up to 32 characters.
        description: What the user gets, up to 255 characters.
        payload: What Telegram gives back with the payment, 1 to 128 bytes; users never see it.
        stars: The price in whole Stars.
        subscription_seconds: The period of a subscription, which Telegram fixes at 30 days; 0 for a single payment.
    """

    title: str
    description: str
    payload: str
    stars: int
    subscription_seconds: int = 0


@dataclass(frozen=True)
class ListedTransaction:
    """A line of Telegram's own list.

    Attributes:
        id: The payment's charge id; a refund has that of its payment.
        stars: Whole Stars.
        user_id: Who paid; None where it is not a user's payment for one of our invoices.
        payload: The invoice's payload.
        date: When it was made.
        subscription_seconds: The period that was paid for, where it belongs to a subscription.
        is_refund: Whether Stars went back to a user.
    """

    id: str
    stars: int
    user_id: int | None
    payload: str
    date: datetime
    subscription_seconds: int | None
    is_refund: bool


@dataclass(frozen=True)
class StarsApi:
    """Telegram's methods about Stars, by the name of the bot that is paid."""

    bots: Bots

    async def send_invoice(self, bot_name: str, chat_id: int, invoice: StarInvoice) -> None:
        """Send an invoice into a chat. Raises StarsError."""
        try:
            await self.bots.get(bot_name).send_invoice(
                chat_id,
                title=invoice.title,
                description=invoice.description,
                payload=invoice.payload,
                currency=CURRENCY,
                prices=[LabeledPrice(label=invoice.title, amount=invoice.stars)],
                provider_token="",
            )
        except TelegramAPIError as error:
            raise StarsError(error.message) from error

    async def create_invoice_link(self, bot_name: str, invoice: StarInvoice) -> str:
        """A link by which an invoice can be paid. Raises StarsError."""
        try:
            return await self.bots.get(bot_name).create_invoice_link(
                title=invoice.title,
                description=invoice.description,
                payload=invoice.payload,
                currency=CURRENCY,
                prices=[LabeledPrice(label=invoice.title, amount=invoice.stars)],
                provider_token="",
                subscription_period=invoice.subscription_seconds or None,
            )
        except TelegramAPIError as error:
            raise StarsError(error.message) from error

    async def refund(self, bot_name: str, user_id: int, charge_id: str) -> None:
        """Give a payment's Stars back. Does nothing where that was done before.

        https://core.telegram.org/bots/api#refundstarpayment

        Raises:
            RefundRefused: It can never be done.
            RefundDelayed: It may be tried again.
        """
        try:
            await self.bots.get(bot_name).refund_star_payment(user_id, charge_id)
        except TelegramAPIError as error:
            if _ALREADY_REFUNDED in error.message:
                return
            if isinstance(error, TelegramBadRequest | TelegramNotFound | TelegramForbiddenError):
                raise RefundRefused(error.message) from error
            wait = float(error.retry_after) if isinstance(error, TelegramRetryAfter) else None
            raise RefundDelayed(error.message, wait) from error

    async def set_subscription_renewal(self, bot_name: str, user_id: int, charge_id: str, *, renews: bool) -> None:
        """Let a subscription renew, or not. Raises StarsError.

        https://core.telegram.org/bots/api#edituserstarsubscription

        Args:
            bot_name: The bot that is paid.
            user_id: Whose subscription it is.
            charge_id: The charge of its first payment, by which Telegram knows it.
            renews: False cancels it: it then runs out at the end of the month that is paid for.
        """
        try:
            await self.bots.get(bot_name).edit_user_star_subscription(
                user_id=user_id, telegram_payment_charge_id=charge_id, is_canceled=not renews
            )
        except TelegramAPIError as error:
            raise StarsError(error.message) from error

    async def transactions(self, bot_name: str) -> AsyncIterator[list[ListedTransaction]]:
        """Telegram's whole list of a bot's transactions, page by page. Raises StarsError.

        https://core.telegram.org/bots/api#getstartransactions
        """
        offset = 0
        while True:
            try:
                found = await self.bots.by_name[bot_name].get_star_transactions(offset=offset, limit=_PAGE_SIZE)
            except TelegramAPIError as error:
                raise StarsError(error.message) from error
            page = found.transactions
            if page:
                yield [_listed(transaction) for transaction in page]
            if len(page) < _PAGE_SIZE:
                return
            offset += len(page)


def _listed(transaction: StarTransaction) -> ListedTransaction:
    """What concerns us of a transaction: withdrawals, gifts and the like have no user and are no refund."""
    source = transaction.source
    paid = source if isinstance(source, TransactionPartnerUser) and source.invoice_payload else None
    return ListedTransaction(
        id=transaction.id,
        stars=transaction.amount,
        user_id=paid.user.id if paid else None,
        payload=(paid.invoice_payload or "") if paid else "",
        date=transaction.date,
        subscription_seconds=paid.subscription_period if paid else None,
        is_refund=paid is None and isinstance(transaction.receiver, TransactionPartnerUser),
    )
