"""Users, orders and credits, by hour or day in UTC and as totals, for /stats and the daily summary."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from storage.pool import Executor

Unit = Literal["hour", "day"]

# $3 is `hour`, `day`, or `all` for one bucket that starts at $1. A refund of Stars counts as refunded; the return of an
# order's price reduces what was earned.
_COUNTS = """
WITH new AS (
    SELECT CASE $3 WHEN 'all' THEN $1 ELSE date_trunc($3, created_at, 'UTC') END AS at
    FROM users WHERE created_at >= $1 AND created_at < $2
), placed AS (
    SELECT CASE $3 WHEN 'all' THEN $1 ELSE date_trunc($3, created_at, 'UTC') END AS at, user_id
    FROM orders WHERE created_at >= $1 AND created_at < $2
), ended AS (
    SELECT CASE $3 WHEN 'all' THEN $1 ELSE date_trunc($3, ended_at, 'UTC') END AS at, state, plan
    FROM orders WHERE ended_at >= $1 AND ended_at < $2
), posted AS (
    SELECT CASE $3 WHEN 'all' THEN $1 ELSE date_trunc($3, t.created_at, 'UTC') END AS at,
           CASE WHEN p.account = 'revenue' THEN 'earned'
                WHEN t.kind = 'refund' THEN 'refunded' ELSE 'paid' END AS what,
           CASE WHEN p.account = 'revenue' OR t.kind = 'refund' THEN p.amount ELSE -p.amount END AS credits
    FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id
    WHERE t.created_at >= $1 AND t.created_at < $2 AND p.account IN ('revenue', 'stars')
)
SELECT at, 'new_users' AS what, count(*)::bigint AS amount FROM new GROUP BY at
UNION ALL
SELECT at, unnest(ARRAY['orders', 'active_users']), unnest(ARRAY[count(*), count(DISTINCT user_id)])
FROM placed GROUP BY at
UNION ALL
SELECT at, state, count(*) FROM ended GROUP BY at, state
UNION ALL
SELECT at, 'on_plan_' || lower(plan), count(*) FROM ended WHERE state = 'succeeded' GROUP BY at, plan
UNION ALL
SELECT at, what, sum(credits)::bigint FROM posted GROUP BY at, what"""

_OUTCOMES = """
SELECT service, count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'cancelled') AS cancelled
FROM orders WHERE ended_at >= $1 AND ended_at < $2 GROUP BY service
ORDER BY count(*) DESC, service"""

_COMPLETED = """
SELECT date_trunc($3, ended_at, 'UTC') AS at, service, count(*) AS count, price,
       jsonb_strip_nulls(jsonb_build_object('model', inputs -> 'model', 'count', inputs -> 'count',
                                            'seconds', inputs -> 'seconds', 'steps', inputs -> 'steps')) AS inputs
FROM orders WHERE ended_at >= $1 AND ended_at < $2 AND state = 'succeeded' GROUP BY 1, 2, 4, 5"""


@dataclass(frozen=True)
class Bucket:
    """The figures of one hour, day or other period that starts at `at`.

    Attributes:
        active_users: Users who placed an order.
        succeeded: Orders that succeeded in this period; likewise `failed` and `cancelled`.
        on_plan_a: How many of the successful orders ended on Plan A.
        on_plan_b: How many of them ended on Plan B.
        earned: Credits captured for orders, less the prices that admins returned.
        paid: Stars paid.
        refunded: Stars refunded by Telegram.
    """

    at: datetime
    new_users: int = 0
    active_users: int = 0
    orders: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    on_plan_a: int = 0
    on_plan_b: int = 0
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
    """Successful orders of a service with the same price, in credits, and the same inputs that determine our cost."""

    at: datetime
    service: str
    count: int
    price: int
    inputs: dict[str, Any]


async def count_buckets(db: Executor, begin: datetime, end: datetime, unit: Unit) -> list[Bucket]:
    """Count by hour or day, from `begin` until before `end`.

    Returns:
        The buckets in which anything happened, oldest first.
    """
    return await _count(db, begin, end, unit)


async def count_totals(db: Executor, begin: datetime, end: datetime) -> Bucket:
    """Count everything from `begin` until before `end`, and each active user once."""
    buckets = await _count(db, begin, end, "all")
    return buckets[0] if buckets else Bucket(begin)


async def _count(db: Executor, begin: datetime, end: datetime, unit: str) -> list[Bucket]:
    counts: dict[datetime, dict[str, int]] = {}
    for row in await db.fetch(_COUNTS, begin, end, unit):
        counts.setdefault(row["at"], {})[row["what"]] = row["amount"]
    return [Bucket(at, **values) for at, values in sorted(counts.items())]


async def count_outcomes(db: Executor, begin: datetime, end: datetime) -> list[OrderOutcomes]:
    """How orders ended from `begin` until before `end`, by service, most orders first."""
    return [OrderOutcomes(**dict(row)) for row in await db.fetch(_OUTCOMES, begin, end)]


async def completed_orders(db: Executor, begin: datetime, end: datetime, unit: Unit) -> list[CompletedOrders]:
    """The successful orders from `begin` until before `end`, grouped by hour or day and by what determines our cost."""
    return [CompletedOrders(**dict(row)) for row in await db.fetch(_COMPLETED, begin, end, unit)]
