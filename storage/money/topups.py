"""Offers to buy credits, and the charges that paid them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.pool import Executor

_ADD = """
INSERT INTO topups (id, user_id, bot_name, stars, subscription, resume) VALUES ($1, $2, $3, $4, $5, $6)"""
_GET = "SELECT id, user_id, stars, charge_id, subscription, resume FROM topups WHERE id = $1"
_PAY = "UPDATE topups SET charge_id = $2, paid_at = now() WHERE id = $1 AND charge_id IS NULL"
_MARK_APPROVED = "UPDATE topups SET checked_at = now() WHERE id = $1 AND charge_id IS NULL RETURNING true"
_UNCONFIRMED = """
SELECT count(*) AS count, coalesce(sum(stars), 0)::bigint AS stars FROM topups
WHERE checked_at >= $1 AND checked_at < $2 AND paid_at IS NULL"""


@dataclass(frozen=True)
class Topup:
    """`charge_id` is Telegram's id of the payment, None while it is not paid. `subscription` is the plan that it
    begins; `resume` the order that was short of credits."""

    id: UUID
    user_id: int
    stars: int
    charge_id: str | None
    tier: str | None
    pending_order: dict[str, Any] | None


@dataclass(frozen=True)
class UnconfirmedTotals:
    """Payments that we agreed to and that Telegram has not said were made."""

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
    await db.execute(_ADD, topup_id, user_id, bot_name, stars, tier, pending_order)


async def get_topup(db: Executor, topup_id: UUID) -> Topup | None:
    row = await db.fetchrow(_GET, topup_id)
    return None if row is None else Topup(**dict(row))


async def mark_paid(db: Executor, topup_id: UUID, charge_id: str) -> None:
    await db.execute(_PAY, topup_id, charge_id)


async def mark_approved(db: Executor, topup_id: UUID) -> bool:
    """We agree that Telegram may take the Stars. False where they were paid already."""
    return bool(await db.fetchval(_MARK_APPROVED, topup_id))


async def count_unconfirmed(db: Executor, begin: datetime, end: datetime) -> UnconfirmedTotals:
    """Of the payments that we agreed to from `begin` up to `end`."""
    row = await db.fetchrow(_UNCONFIRMED, begin, end)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return UnconfirmedTotals(**dict(row))
