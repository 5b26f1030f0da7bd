"""Invoices and payments in Telegram Stars."""

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.telegram.state.store import Store

Json = dict[str, Any]


@dataclass(slots=True)
class Payment:
    """One payment: amounts in whole Stars, dates in seconds since the epoch."""

    charge_id: str
    bot_id: int
    user_id: int
    amount: int
    payload: str
    date: int
    refunded: int = 0
    subscription_period: int | None = None


@dataclass(slots=True)
class InvoiceLink:
    """What ``createInvoiceLink`` has made."""

    slug: str
    bot_id: int
    invoice: Json


@dataclass(slots=True)
class Subscription:
    """What a person pays every period. ``charge_id`` is its first payment's; ``until`` when it renews or ends."""

    charge_id: str
    bot_id: int
    user_id: int
    amount: int
    payload: str
    period: int
    until: int
    cancelled: bool = False


def new_charge_id() -> str:
    """A Telegram payment charge id."""
    return f"stx{secrets.token_urlsafe(48)}"


class Payments:
    """Payments and subscriptions by charge id, invoice links by slug."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.payments: dict[str, Payment] = {r["charge_id"]: Payment(**r) for _, r in store.load("payment")}
        self.links: dict[str, InvoiceLink] = {r["slug"]: InvoiceLink(**r) for _, r in store.load("invoice")}
        found = (Subscription(**r) for _, r in store.load("subscription"))
        self.subscriptions = {subscription.charge_id: subscription for subscription in found}

    def save(self, payment: Payment) -> None:
        """Keep a payment, new or changed."""
        self.payments[payment.charge_id] = payment
        self._store.save("payment", payment.charge_id, asdict(payment))

    def start_subscription(self, payment: Payment, period: int) -> Subscription:
        """Begin a subscription with its first payment."""
        until = payment.date + period
        who = (payment.bot_id, payment.user_id)
        subscription = Subscription(payment.charge_id, *who, payment.amount, payment.payload, period, until)
        self.save_subscription(subscription)
        return subscription

    def save_subscription(self, subscription: Subscription) -> None:
        """Keep a subscription, new or changed."""
        self.subscriptions[subscription.charge_id] = subscription
        self._store.save("subscription", subscription.charge_id, asdict(subscription))

    def create_link(self, bot_id: int, invoice: Json) -> InvoiceLink:
        """Make a link to an invoice."""
        link = InvoiceLink(f"${secrets.token_urlsafe(12)}", bot_id, invoice)
        self.links[link.slug] = link
        self._store.save("invoice", link.slug, asdict(link))
        return link

    def list_for_bot(self, bot_id: int) -> list[Payment]:
        """A bot's payments, oldest first."""
        return sorted((p for p in self.payments.values() if p.bot_id == bot_id), key=lambda p: p.date)

    def clear(self) -> None:
        """Forget all payments, subscriptions and links."""
        self.payments.clear()
        self.subscriptions.clear()
        self.links.clear()
