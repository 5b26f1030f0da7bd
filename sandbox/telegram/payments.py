"""Invoices and payments in Telegram Stars."""

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.telegram.store import Store

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


def new_charge_id() -> str:
    """A Telegram payment charge id."""
    return f"stx{secrets.token_urlsafe(48)}"


class Payments:
    """Payments by charge id and invoice links by slug."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.payments: dict[str, Payment] = {r["charge_id"]: Payment(**r) for _, r in store.load("payment")}
        self.links: dict[str, InvoiceLink] = {r["slug"]: InvoiceLink(**r) for _, r in store.load("invoice")}

    def save(self, payment: Payment) -> None:
        """Keep a payment, new or changed."""
        self.payments[payment.charge_id] = payment
        self._store.save("payment", payment.charge_id, asdict(payment))

    def link(self, bot_id: int, invoice: Json) -> InvoiceLink:
        """Make a link to an invoice."""
        link = InvoiceLink(f"${secrets.token_urlsafe(12)}", bot_id, invoice)
        self.links[link.slug] = link
        self._store.save("invoice", link.slug, asdict(link))
        return link

    def of_bot(self, bot_id: int) -> list[Payment]:
        """A bot's payments, oldest first."""
        return sorted((p for p in self.payments.values() if p.bot_id == bot_id), key=lambda p: p.date)

    def clear(self) -> None:
        """Forget all payments and links."""
        self.payments.clear()
        self.links.clear()
