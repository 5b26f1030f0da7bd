"""What came and went over time: people, orders, Stars, by hour or day in UTC."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from storage.pool import Executor

Unit = Literal["hour", "day"]

# A refund to Telegram lessens what was paid in; one of an order's price lessens what was earned.
_COUNTS = """
SELECT date_trunc($3, created_at, 'UTC') AS at, 'new_users' AS what, count(*)::bigint AS amount
FROM users WHERE created_at >= $1 AND created_at < $2 GROUP BY 1
UNION ALL
SELECT date_trunc($3, created_at, 'UTC'), unnest(ARRAY['orders', 'active_users']),
       unnest(ARRAY[count(*), count(DISTINCT user_id)])
FROM jobs WHERE created_at >= $1 AND created_at < $2 AND NOT errand GROUP BY 1
UNION ALL
SELECT date_trunc($3, ended_at, 'UTC'), state, count(*)
FROM jobs WHERE ended_at >= $1 AND ended_at < $2 AND NOT errand GROUP BY 1, 2
UNION ALL
SELECT date_trunc($3, t.created_at, 'UTC'),
       CASE WHEN p.account = 'revenue' THEN 'earned' WHEN t.kind = 'refund' THEN 'refunded' ELSE 'paid' END,
       sum(CASE WHEN p.account = 'revenue' OR t.kind = 'refund' THEN p.amount ELSE -p.amount END)::bigint
FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id
WHERE t.created_at >= $1 AND t.created_at < $2 AND p.account IN ('revenue', 'stars') GROUP BY 1, 2"""

_OUTCOMES = """
SELECT service, count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled
FROM jobs WHERE ended_at >= $1 AND ended_at < $2 AND NOT errand GROUP BY service
ORDER BY count(*) DESC, service"""

_COMPLETED = """
SELECT date_trunc($3, ended_at, 'UTC') AS at, service, count(*) AS count, price,
       jsonb_strip_nulls(jsonb_build_object('model', inputs -> 'model', 'count', inputs -> 'count',
                                            'seconds', inputs -> 'seconds', 'steps', inputs -> 'steps')) AS inputs
FROM jobs WHERE ended_at >= $1 AND ended_at < $2 AND state = 'succeeded' AND NOT errand GROUP BY 1, 2, 4, 5"""

_ACTIVE = """
SELECT count(DISTINCT user_id) FROM jobs WHERE created_at >= $1 AND created_at < $2 AND NOT errand"""


@dataclass(frozen=True)
class Bucket:
    """What one hour or day, from `at` on, had. `active_users` ordered something; `succeeded`, `failed` and
    `cancelled` are orders that ended then; the rest are whole Stars: `earned` by orders (what admins gave back of
    their prices is taken off), `paid` in, and `refunded` by Telegram."""

    at: datetime
    new_users: int = 0
    active_users: int = 0
    orders: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    earned: int = 0
    paid: int = 0
    refunded: int = 0


@dataclass(frozen=True)
class OrderOutcomes:
    """How a service's orders ended."""

    service: str
    succeeded: int
    failed: int
    cancelled: int


@dataclass(frozen=True)
class CompletedOrders:
    """`count` orders of a service with the same price and the same inputs, as far as these say what they cost."""

    at: datetime
    service: str
    count: int
    price: int
    inputs: dict[str, Any]


async def count_buckets(db: Executor, begin: datetime, end: datetime, unit: Unit) -> list[Bucket]:
    """From `begin` up to `end`, without those in which nothing happened; the oldest first."""
    found: dict[datetime, dict[str, int]] = {}
    for row in await db.fetch(_COUNTS, begin, end, unit):
        found.setdefault(row["at"], {})[row["what"]] = row["amount"]
    return [Bucket(at, **counts) for at, counts in sorted(found.items())]


async def count_outcomes(db: Executor, begin: datetime, end: datetime) -> list[OrderOutcomes]:
    """The services with the most orders first."""
    return [OrderOutcomes(**dict(row)) for row in await db.fetch(_OUTCOMES, begin, end)]


async def completed_orders(db: Executor, begin: datetime, end: datetime, unit: Unit) -> list[CompletedOrders]:
    return [CompletedOrders(**dict(row)) for row in await db.fetch(_COMPLETED, begin, end, unit)]


async def count_active_users(db: Executor, begin: datetime, end: datetime) -> int:
    """People who ordered something, each once."""
    return int(await db.fetchval(_ACTIVE, begin, end))
