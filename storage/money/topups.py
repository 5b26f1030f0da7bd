"""Topups: invoices for credits or subscriptions, paid or not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.pool import Executor

_ADD = """
INSERT INTO topups (id, user_id, bot_name, stars, tier, pending_order) VALUES ($1, $2, $3, $4, $5, $6)"""
_GET = "SELECT id, user_id, stars, charge_id, tier, pending_order FROM topups WHERE id = $1"
_PAY = "UPDATE topups SET charge_id = $2, paid_at = now() WHERE id = $1 AND charge_id IS NULL"
_MARK_APPROVED = "UPDATE topups SET approved_at = now() WHERE id = $1 AND charge_id IS NULL RETURNING true"
_UNCONFIRMED = """
SELECT count(*) AS count, coalesce(sum(stars), 0)::bigint AS stars FROM topups
WHERE approved_at >= $1 AND approved_at < $2 AND paid_at IS NULL"""


@dataclass(frozen=True)
class Topup:
    """An invoice.

    Attributes:
        stars: Its amount in Stars.
        charge_id: The charge id of the payment; None until it is paid.
        tier: The tier of the subscription that it starts; None for a credit pack.
        pending_order: The order that lacked credits and is placed once this is paid.
    """

    id: UUID
    user_id: int
    stars: int
    charge_id: str | None
    tier: str | None
    pending_order: dict[str, Any] | None


@dataclass(frozen=True)
class UnconfirmedTotals:
    """Payments that we approved but Telegram has not confirmed: how many, and the total Stars."""

    count: int
    stars: int


async def add_topup(
    db: Executor,
    topup_id: UUID,
    *,
    user_id: int,
    bot_name: str,
    stars: int,
    tier: str | None = None,
    pending_order: dict[str, Any] | None = None,
) -> None:
    """Record an invoice before it is sent. The arguments are the fields of `Topup`."""
    await db.execute(_ADD, topup_id, user_id, bot_name, stars, tier, pending_order)


async def get_topup(db: Executor, topup_id: UUID) -> Topup | None:
    """The topup with this id, if there is one."""
    row = await db.fetchrow(_GET, topup_id)
    return None if row is None else Topup(**dict(row))


async def mark_paid(db: Executor, topup_id: UUID, charge_id: str) -> None:
    """Record the payment, unless one is recorded already."""
    await db.execute(_PAY, topup_id, charge_id)


async def mark_approved(db: Executor, topup_id: UUID) -> bool:
    """Record that we approve the payment. False if it is already paid."""
    return bool(await db.fetchval(_MARK_APPROVED, topup_id))


async def count_unconfirmed(db: Executor, begin: datetime, end: datetime) -> UnconfirmedTotals:
    """Count the unconfirmed payments that we approved from `begin` until before `end`."""
    row = await db.fetchrow(_UNCONFIRMED, begin, end)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return UnconfirmedTotals(**dict(row))
