"""The state of orders: which are open, waiting, unpublished or recovered, and which ended recently.

`/plan`, the dashboard, the metrics and the alerts all read these figures, so they agree. Orders are counted in the view
`orders`, which excludes internal jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

RECOVERED_ORDERS = """
job_events e JOIN orders o ON o.id = e.job_id AND e.kind IN ('fell_back', 'taken_over')"""
"""Goes after FROM: the events `e` of orders that fell back or were taken over."""

# Uses the index jobs_open.
_OPEN = """
SELECT service, plan,
       count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'queued') AS queued,
       min(created_at) FILTER (WHERE state = 'queued') AS oldest,
       coalesce(sum(price), 0)::bigint AS held
FROM orders WHERE state IN ('queued', 'running') GROUP BY service, plan ORDER BY service, plan"""

# Orders of a user who already has as many running as allowed wait for that user's own orders, not for us.
_BACKLOG = """
SELECT count(*) AS count, min(o.created_at) AS oldest FROM orders o
WHERE o.state = 'queued' AND o.service <> ALL($1::text[])
  AND (SELECT count(*) FROM orders r
       WHERE r.user_id = o.user_id AND r.state = 'running' AND r.claimable_at > now()) < $2"""

_UNPUBLISHED = """
SELECT count(o.id) AS orders, count(*) - count(o.id) AS internal_jobs
FROM outbox LEFT JOIN orders o ON o.id = outbox.job_id"""

_RECOVERIES = f"""
SELECT count(*) FILTER (WHERE e.kind = 'fell_back') AS fell_back,
       count(*) FILTER (WHERE e.kind = 'taken_over') AS taken_over
FROM {RECOVERED_ORDERS} WHERE e.at >= $1"""  # noqa: S608

_ENDED = "SELECT plan, count(*) AS count FROM orders WHERE ended_at >= $1 GROUP BY plan"

_FAILED = """
SELECT service, count(*) FILTER (WHERE state = 'failed' AND failure = ANY($2::text[])) AS failed, count(*) AS ended
FROM orders WHERE ended_at >= $1 AND state <> 'cancelled' GROUP BY service ORDER BY failed DESC, service"""


@dataclass(frozen=True)
class OpenOrders:
    """The open orders of a service on one plan.

    Attributes:
        oldest: When the oldest queued order was placed; None if none is queued.
        held: Credits held for all of the orders.
    """

    service: str
    plan: str
    running: int
    queued: int
    oldest: datetime | None
    held: int


@dataclass(frozen=True)
class Backlog:
    """Orders that wait to be started. `oldest` is when the oldest one was placed; None if there are none."""

    count: int
    oldest: datetime | None


@dataclass(frozen=True)
class Unpublished:
    """How many orders and internal jobs are in the outbox, waiting to be sent to Inngest."""

    orders: int
    internal_jobs: int


@dataclass(frozen=True)
class Recoveries:
    """Orders that fell back to Plan B because Inngest was unavailable, and takeovers of orders whose lease expired."""

    fell_back: int
    taken_over: int


@dataclass(frozen=True)
class FailureCount:
    """How many orders of a service ended, and how many of them failed with one of the given failures."""

    service: str
    failed: int
    ended: int


async def open_orders(db: Executor) -> list[OpenOrders]:
    """The open orders of each service and plan that has any."""
    return [OpenOrders(**dict(row)) for row in await db.fetch(_OPEN)]


async def get_backlog(db: Executor, *, excluded_services: Sequence[str], per_user_limit: int) -> Backlog:
    """Count the queued orders that wait for us, not for other orders of the same user.

    Args:
        db: The pool or a connection.
        excluded_services: Services whose orders are not counted.
        per_user_limit: Orders of users with this many running orders are not counted.
    """
    row = await db.fetchrow(_BACKLOG, list(excluded_services), per_user_limit)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Backlog(**dict(row))


async def count_unpublished(db: Executor) -> Unpublished:
    """Count the orders and internal jobs in the outbox."""
    row = await db.fetchrow(_UNPUBLISHED)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Unpublished(**dict(row))


async def count_recoveries(db: Executor, since: datetime) -> Recoveries:
    """Count the recoveries since `since`."""
    row = await db.fetchrow(_RECOVERIES, since)
    assert row is not None  # noqa: S101 - an aggregate has one row
    return Recoveries(**dict(row))


async def count_ended(db: Executor, since: datetime) -> dict[str, int]:
    """How many orders have ended since `since`, by plan."""
    return {row["plan"]: row["count"] for row in await db.fetch(_ENDED, since)}


async def count_failed(db: Executor, since: datetime, failures: Sequence[str]) -> list[FailureCount]:
    """Count the orders that have ended since `since`, by service, most failures first. Cancelled ones do not count.

    Args:
        db: The pool or a connection.
        since: The start of the period.
        failures: The failures (message keys) that are counted.
    """
    return [FailureCount(**dict(row)) for row in await db.fetch(_FAILED, since, list(failures))]
