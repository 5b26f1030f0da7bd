"""The API for Telegram Stars (invoices, refunds, subscriptions, transactions), without aiogram types in its interface.

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
    """A request about Stars failed. The message is Telegram's error message."""


class RefundRefused(StarsError):
    """Telegram will never make this refund."""


class RefundDelayed(StarsError):
    """Telegram could not make this refund now. `retry_after` is the wait it requested in seconds, or None."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class StarInvoice:
    """An invoice with a single price.

    Attributes:
        title: The name of the product, up to 32 characters.
        description: The description of the product, up to 255 characters.
        payload: Data that Telegram returns with the payment, 1 to 128 bytes. Not shown to users.
        stars: The price in whole Stars.
        subscription_seconds: The period of a subscription, always 30 days; 0 for a one-time payment.
    """

    title: str
    description: str
    payload: str
    stars: int
    subscription_seconds: int = 0


@dataclass(frozen=True)
class ListedTransaction:
    """A transaction in Telegram's list.

    Attributes:
        id: The charge id of the payment. A refund has the id of its payment.
        stars: The amount in whole Stars.
        user_id: The user who paid; None if this is not a user's payment for one of our invoices.
        payload: The invoice's payload.
        date: The time of the transaction.
        subscription_seconds: The period paid for; None if it is not a subscription payment.
        is_refund: Whether Stars were returned to a user.
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
    """The Bot API methods for Stars, called for a bot by its name."""

    bots: Bots

    async def send_invoice(self, bot_name: str, chat_id: int, invoice: StarInvoice) -> None:
        """Send an invoice to a chat. Raises StarsError."""
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
        """Create a link to an invoice. Raises StarsError."""
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
        """Refund a payment. Does nothing if it was refunded before.

        https://core.telegram.org/bots/api#refundstarpayment

        Raises:
            RefundRefused: Telegram will never make this refund.
            RefundDelayed: The refund failed and may be retried.
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
        """Cancel a subscription, or resume its renewal. Raises StarsError.

        https://core.telegram.org/bots/api#edituserstarsubscription

        Args:
            bot_name: The bot that receives the payments.
            user_id: The subscriber.
            charge_id: The charge id of the first payment, by which Telegram identifies the subscription.
            renews: False to cancel. The subscription then ends with the paid month.
        """
        try:
            await self.bots.get(bot_name).edit_user_star_subscription(
                user_id=user_id, telegram_payment_charge_id=charge_id, is_canceled=not renews
            )
        except TelegramAPIError as error:
            raise StarsError(error.message) from error

    async def transactions(self, bot_name: str) -> AsyncIterator[list[ListedTransaction]]:
        """Yield all of a bot's transactions, page by page. Raises StarsError.

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
    """Convert a transaction. For withdrawals, gifts and the like, `user_id` is None and `is_refund` is False."""
    source = transaction.source
    payer = source if isinstance(source, TransactionPartnerUser) and source.invoice_payload else None
    return ListedTransaction(
        id=transaction.id,
        stars=transaction.amount,
        user_id=payer.user.id if payer else None,
        payload=(payer.invoice_payload or "") if payer else "",
        date=transaction.date,
        subscription_seconds=payer.subscription_period if payer else None,
        is_refund=payer is None and isinstance(transaction.receiver, TransactionPartnerUser),
    )
