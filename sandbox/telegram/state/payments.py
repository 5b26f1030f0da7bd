"""Invoices, payments and subscriptions in Telegram Stars."""

import secrets
from dataclasses import dataclass

from sandbox.telegram.json_types import Json
from sandbox.telegram.state.store import Store


@dataclass(slots=True)
class Payment:
    """One payment.

    Attributes:
        amount: Whole Stars.
        payload: The bot's own payload of the invoice.
        date: Seconds since the epoch.
        refunded: Seconds since the epoch, or 0 when it was not refunded.
        subscription_period: Seconds, when the payment belongs to a subscription.
    """

    charge_id: str
    bot_id: int
    user_id: int
    amount: int
    payload: str
    date: int
    refunded: int = 0
    subscription_period: int | None = None

    def to_receipt(self) -> Json:
        """Return what Telegram's ``SuccessfulPayment`` and ``RefundedPayment`` have in common."""
        return {
            "currency": "XTR",
            "total_amount": self.amount,
            "invoice_payload": self.payload,
            "telegram_payment_charge_id": self.charge_id,
        }


@dataclass(slots=True)
class InvoiceLink:
    """An invoice that ``createInvoiceLink`` has made; ``slug`` is the end of its address."""

    slug: str
    bot_id: int
    invoice: Json


@dataclass(slots=True)
class Subscription:
    """A payment that repeats every period.

    Attributes:
        charge_id: The charge id of its first payment.
        amount: Whole Stars per period.
        period: Seconds.
        until: When it is renewed or ends, in seconds since the epoch.
    """

    charge_id: str
    bot_id: int
    user_id: int
    amount: int
    payload: str
    period: int
    until: int
    cancelled: bool = False


def new_charge_id() -> str:
    """Return a new ``telegram_payment_charge_id``."""
    return f"stx{secrets.token_urlsafe(48)}"


class Payments:
    """All payments, subscriptions and invoice links.

    Attributes:
        payments: Payments by charge id.
        subscriptions: Subscriptions by the charge id of their first payment.
        links: Invoice links by slug.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.payments = {each.charge_id: each for _, each in store.load("payment", Payment)}
        self.links = {each.slug: each for _, each in store.load("invoice", InvoiceLink)}
        self.subscriptions = {each.charge_id: each for _, each in store.load("subscription", Subscription)}

    def save(self, payment: Payment) -> None:
        """Keep a payment, new or changed."""
        self.payments[payment.charge_id] = payment
        self._store.save("payment", payment.charge_id, payment)

    def save_subscription(self, subscription: Subscription) -> None:
        """Keep a subscription, new or changed."""
        self.subscriptions[subscription.charge_id] = subscription
        self._store.save("subscription", subscription.charge_id, subscription)

    def create_link(self, bot_id: int, invoice: Json) -> InvoiceLink:
        """Create a link to an invoice."""
        link = InvoiceLink(f"${secrets.token_urlsafe(12)}", bot_id, invoice)
        self.links[link.slug] = link
        self._store.save("invoice", link.slug, link)
        return link

    def list_for_bot(self, bot_id: int) -> list[Payment]:
        """Return a bot's payments, oldest first."""
        return sorted((p for p in self.payments.values() if p.bot_id == bot_id), key=lambda p: p.date)

    def star_balance(self, bot_id: int) -> int:
        """Return a bot's balance in whole Stars: all its payments that were not refunded."""
        return sum(payment.amount for payment in self.list_for_bot(bot_id) if not payment.refunded)

    def clear(self) -> None:
        """Remove all payments, subscriptions and links."""
        self.payments.clear()
        self.subscriptions.clear()
        self.links.clear()
