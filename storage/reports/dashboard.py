"""The dashboard's live figures: few statements, each of which reads an index, over an hour, a day or a fixed count."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from storage.pool import Executor
from storage.reports.order_status import RECOVERED_ORDERS

MINUTES = 60

# Uses jobs_ended. One pass counts the hour by plan, by plan and minute, and by service. Cancelled orders are left out,
# because a cancellation moves a job to Plan B, whatever plan it ran on.
_ENDED = """
SELECT plan, minute, service,
       count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY run_seconds)
           FILTER (WHERE state = 'succeeded') AS run_seconds,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY wait_seconds) AS wait_seconds
FROM (
    SELECT plan, service, state,
           extract(epoch FROM ended_at - started_at)::float8 AS run_seconds,
           extract(epoch FROM started_at - created_at)::float8 AS wait_seconds,
           floor(extract(epoch FROM ended_at) / 60)::bigint AS minute
    FROM orders
    WHERE ended_at >= date_trunc('minute', now()) - make_interval(mins => $1 - 1) AND state <> 'cancelled'
) ended
GROUP BY GROUPING SETS ((plan), (plan, minute), (service))"""

# Uses job_events_kind and incidents_opened. An hour without Inngest causes thousands of fallbacks, so those of one
# minute become one line, and only the latest 400 of a kind are read.
_TIMELINE = f"""
WITH recoveries AS (
    (SELECT e.kind, e.at, e.service, e.job_id FROM {RECOVERED_ORDERS}
     WHERE e.kind = 'fell_back' ORDER BY e.at DESC LIMIT 400)
    UNION ALL
    (SELECT e.kind, e.at, e.service, e.job_id FROM {RECOVERED_ORDERS}
     WHERE e.kind = 'taken_over' ORDER BY e.at DESC LIMIT 400)
), latest_incidents AS (
    SELECT * FROM incidents ORDER BY opened_at DESC LIMIT $1
)
(SELECT kind, max(at) AS at, NULL::timestamptz AS closed_at, count(*) AS count,
        array_agg(DISTINCT service) AS services, (array_agg(job_id ORDER BY at DESC))[1:3] AS job_ids,
        NULL::jsonb AS facts
 FROM recoveries GROUP BY kind, date_trunc('minute', at))
UNION ALL
SELECT 'incident ' || kind, opened_at, closed_at, 1, ARRAY[]::text[], ARRAY[]::uuid[], facts FROM latest_incidents
ORDER BY at DESC LIMIT $1"""  # noqa: S608

# Transfers into and out of our own accounts since midnight, UTC.
_ACCOUNT_FLOWS = """
SELECT p.account, p.amount > 0 AS incoming, count(*) AS count, sum(abs(p.amount))::bigint AS credits
FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id AND p.user_id IS NULL
WHERE t.created_at >= date_trunc('day', now(), 'UTC') GROUP BY p.account, p.amount > 0"""


@dataclass(frozen=True)
class EndedStats:
    """Orders that ended in the last hour: those of a plan, of a plan in one minute, or of a service.

    Attributes:
        minute: The minute, counted from 1970.
        run_seconds: p50 and p95 of the time from start to end of successful orders; None if there are none.
        wait_seconds: p50 and p95 of the time from order to start; None if none was started.
    """

    plan: str | None
    minute: int | None
    service: str | None
    succeeded: int
    failed: int
    run_seconds: tuple[float, float] | None
    wait_seconds: tuple[float, float] | None


@dataclass(frozen=True)
class TimelineEvent:
    """A line of the timeline.

    Attributes:
        kind: `fell_back` or `taken_over` (one line per minute), or `incident <kind>`.
        at: When it happened, or when the incident was opened.
        closed_at: When the incident was closed.
        job_ids: Up to three of the orders, latest first.
        facts: The facts of the incident.
    """

    kind: str
    at: datetime
    closed_at: datetime | None
    count: int
    services: tuple[str, ...]
    job_ids: tuple[UUID, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class AccountFlow:
    """Transfers into (`incoming`) or out of one of our own accounts: how many, and the total credits."""

    account: str
    incoming: bool
    count: int
    credits: int


async def ended_stats(db: Executor) -> list[EndedStats]:
    """The orders that ended in the last 60 minutes, including the current one."""
    return [_ended(row) for row in await db.fetch(_ENDED, MINUTES)]


async def latest_timeline(db: Executor, *, limit: int) -> list[TimelineEvent]:
    """The latest lines of the timeline, newest first."""
    return [_timeline_event(row) for row in await db.fetch(_TIMELINE, limit)]


async def account_flows_today(db: Executor) -> list[AccountFlow]:
    """The transfers into and out of our own accounts since midnight, UTC."""
    return [AccountFlow(**dict(row)) for row in await db.fetch(_ACCOUNT_FLOWS)]


def _ended(row: asyncpg.Record) -> EndedStats:
    # Without rows, percentile_cont returns NULL or an array of NULLs.
    pairs = {
        name: tuple(row[name]) if row[name] and row[name][0] is not None else None
        for name in ("run_seconds", "wait_seconds")
    }
    return EndedStats(**{**dict(row), **pairs})


def _timeline_event(row: asyncpg.Record) -> TimelineEvent:
    values = dict(row)
    values |= {"services": tuple(row["services"]), "job_ids": tuple(row["job_ids"]), "facts": row["facts"] or {}}
    return TimelineEvent(**values)
