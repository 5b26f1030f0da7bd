"""Offers to buy credits, and the charges that paid them."""

from dataclasses import dataclass
from uuid import UUID

from storage.pool import Executor

_ADD = "INSERT INTO topups (id, user_id, bot_name, stars) VALUES ($1, $2, $3, $4)"
_GET = "SELECT id, user_id, stars, charge_id FROM topups WHERE id = $1"
_PAY = "UPDATE topups SET charge_id = $2, paid_at = now() WHERE id = $1 AND charge_id IS NULL"


@dataclass(frozen=True)
class Topup:
    """`charge_id` is Telegram's id of the payment, None while it is not paid."""

    id: UUID
    user_id: int
    stars: int
    charge_id: str | None


async def add_topup(db: Executor, topup_id: UUID, *, user_id: int, bot_name: str, stars: int) -> None:
    await db.execute(_ADD, topup_id, user_id, bot_name, stars)


async def get_topup(db: Executor, topup_id: UUID) -> Topup | None:
    row = await db.fetchrow(_GET, topup_id)
    return None if row is None else Topup(**dict(row))


async def mark_paid(db: Executor, topup_id: UUID, charge_id: str) -> None:
    await db.execute(_PAY, topup_id, charge_id)
