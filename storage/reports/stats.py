"""Counts over a period: people, orders, Stars."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

_PERIOD = """
SELECT
    (SELECT count(*) FROM users WHERE created_at >= $1 AND created_at < $2) AS new_users,
    (SELECT count(DISTINCT user_id) FROM jobs
     WHERE created_at >= $1 AND created_at < $2 AND NOT errand) AS active_users,
    (SELECT count(*) FROM jobs WHERE created_at >= $1 AND created_at < $2 AND NOT errand) AS orders,
    count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
    count(*) FILTER (WHERE state = 'succeeded' AND plan = 'A') AS on_plan_a,
    count(*) FILTER (WHERE state = 'succeeded' AND plan = 'B') AS on_plan_b,
    coalesce(sum(price) FILTER (WHERE state = 'succeeded'), 0)::bigint AS spent,
    (SELECT coalesce(-sum(p.amount), 0)
     FROM ledger_postings p JOIN ledger_transactions t ON t.id = p.transaction_id
     WHERE p.account = 'stars' AND t.created_at >= $1 AND t.created_at < $2)::bigint AS paid
FROM jobs WHERE ended_at >= $1 AND ended_at < $2 AND NOT errand"""


@dataclass(frozen=True)
class PeriodStats:
    """`active_users` ordered something; the ends are of orders that ended then; `spent` and `paid` are Stars."""

    new_users: int
    active_users: int
    orders: int
    succeeded: int
    failed: int
    cancelled: int
    on_plan_a: int
    on_plan_b: int
    spent: int
    paid: int


async def get_period_stats(db: Executor, begin: datetime, end: datetime) -> PeriodStats:
    """What happened from `begin` up to `end`."""
    row = await db.fetchrow(_PERIOD, begin, end)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return PeriodStats(**dict(row))
