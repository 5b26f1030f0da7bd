"""The figures about a user that admins see."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

_CARD = """
SELECT u.created_at, u.last_seen_at, u.notes, u.invited_by, b.available, b.held, b.debt,
       o.orders, o.succeeded, p.paid, p.refunded
FROM users u JOIN balances b ON b.user_id = u.id,
LATERAL (SELECT count(*) AS orders, count(*) FILTER (WHERE state = 'succeeded') AS succeeded
         FROM orders WHERE user_id = u.id) o,
LATERAL (SELECT coalesce(sum(stars), 0)::bigint AS paid,
                coalesce(sum(stars) FILTER (WHERE refunded_at IS NOT NULL), 0)::bigint AS refunded
         FROM payments WHERE user_id = u.id) p
WHERE u.id = $1"""


@dataclass(frozen=True)
class UserCard:
    """A user in figures.

    Attributes:
        notes: Admins' notes, one per line, oldest first.
        available: In credits, like `held` and `debt`.
        succeeded: How many of the orders succeeded.
        paid: In Stars, including those that were refunded.
        refunded: In Stars.
    """

    created_at: datetime
    last_seen_at: datetime
    notes: str
    invited_by: int | None
    available: int
    held: int
    debt: int
    orders: int
    succeeded: int
    paid: int
    refunded: int


async def get_user_card(db: Executor, user_id: int) -> UserCard | None:
    """Read a user's figures. None if there is no such user."""
    row = await db.fetchrow(_CARD, user_id)
    return None if row is None else UserCard(**dict(row))
