"""The dashboard's live numbers: few statements, each on an index, over the last hour, day or a fixed count."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from storage.pool import Executor

MINUTES = 60

# By jobs_ended. One pass gives the hour by plan, by plan and minute, and by service. Stopped orders are left out:
# stopping moves a job to Plan B, whichever plan had it; and so are errands, which nobody waits for.
_ENDED = """
SELECT plan, minute, service,
       count(*) FILTER (WHERE state = 'succeeded') AS succeeded,
       count(*) FILTER (WHERE state = 'failed') AS failed,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY took) FILTER (WHERE state = 'succeeded') AS took,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY waited) AS waited
FROM (
    SELECT plan, service, state,
           extract(epoch FROM ended_at - started_at)::float8 AS took,
           extract(epoch FROM started_at - created_at)::float8 AS waited,
           floor(extract(epoch FROM ended_at) / 60)::bigint AS minute
    FROM jobs
    WHERE ended_at >= date_trunc('minute', now()) - make_interval(mins => $1 - 1) AND state <> 'cancelled'
      AND NOT errand
) ended
GROUP BY GROUPING SETS ((plan), (plan, minute), (service))"""

# By jobs_open.
_OPEN = """
SELECT service, plan,
       count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'queued') AS queued,
       min(created_at) FILTER (WHERE state = 'queued') AS oldest,
       coalesce(sum(price), 0)::bigint AS held
FROM jobs WHERE state IN ('queued', 'running') AND NOT errand GROUP BY service, plan"""

# By job_events_kind and incidents_opened. An hour without Inngest is thousands of fallbacks: those of one minute
# are one line, and no more than the last 400 of a kind are looked at.
_TIMELINE = """
WITH rescues AS (
    (SELECT kind, at, service, job_id FROM job_events WHERE kind = 'fell_back' ORDER BY at DESC LIMIT 400)
    UNION ALL
    (SELECT kind, at, service, job_id FROM job_events WHERE kind = 'taken_over' ORDER BY at DESC LIMIT 400)
), latest_incidents AS (
    SELECT * FROM incidents ORDER BY opened_at DESC LIMIT $1
)
(SELECT kind, max(at) AS at, NULL::timestamptz AS closed_at, count(*) AS count,
        array_agg(DISTINCT service) AS services, (array_agg(job_id ORDER BY at DESC))[1:3] AS job_ids,
        NULL::jsonb AS facts
 FROM rescues GROUP BY kind, date_trunc('minute', at))
UNION ALL
SELECT 'incident ' || kind, opened_at, closed_at, 1, ARRAY[]::text[], ARRAY[]::uuid[], facts FROM latest_incidents
ORDER BY at DESC LIMIT $1"""

# Since midnight, UTC: what came into the accounts of the house and what left them.
_ACCOUNT_FLOWS = """
SELECT p.account, p.amount > 0 AS came, count(*) AS moves, sum(abs(p.amount))::bigint AS stars
FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id AND p.user_id IS NULL
WHERE t.created_at >= date_trunc('day', now(), 'UTC') GROUP BY p.account, p.amount > 0"""

# By jobs_created.
_LATEST = """
SELECT id, service, user_id, state, plan, price, created_at, started_at, ended_at, fell_back, failure
FROM jobs WHERE NOT errand ORDER BY created_at DESC LIMIT $1"""


@dataclass(frozen=True)
class EndedStats:
    """Orders that ended: of a plan, of a plan in one minute (since 1970), or of a service. `took` is from begin to
    end, `waited` from order to begin; both p50 and p95, in seconds, None where nothing ended."""

    plan: str | None
    minute: int | None
    service: str | None
    succeeded: int
    failed: int
    run_seconds: tuple[float, float] | None
    wait_seconds: tuple[float, float] | None


@dataclass(frozen=True)
class OpenOrders:
    """The open orders of a service on one plan. `oldest` is when the first of those that wait was ordered; `held`
    the Stars set aside for all of them."""

    service: str
    plan: str
    running: int
    queued: int
    oldest: datetime | None
    held: int


@dataclass(frozen=True)
class TimelineEvent:
    """Something worth a line: `fell_back`, `taken_over` (those of one minute together), or `incident <kind>`."""

    kind: str
    at: datetime
    closed_at: datetime | None
    count: int
    services: tuple[str, ...]
    job_ids: tuple[UUID, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class AccountFlow:
    """The ledger's moves into an account of the house (`came`), or out of it: how many, and Stars in all."""

    account: str
    incoming: bool
    count: int
    credits: int


@dataclass(frozen=True)
class JobSummary:
    """A job as a line of a list."""

    id: UUID
    service: str
    user_id: int
    state: str
    plan: str
    price: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    fell_back: bool
    failure: str | None


async def ended_stats(db: Executor) -> list[EndedStats]:
    """The last 60 minutes, the present one among them."""
    return [_ended(row) for row in await db.fetch(_ENDED, MINUTES)]


async def open_orders(db: Executor) -> list[OpenOrders]:
    return [OpenOrders(**dict(row)) for row in await db.fetch(_OPEN)]


async def latest_timeline(db: Executor, *, limit: int) -> list[TimelineEvent]:
    """Newest first."""
    return [_timeline_event(row) for row in await db.fetch(_TIMELINE, limit)]


async def account_flows_today(db: Executor) -> list[AccountFlow]:
    return [AccountFlow(**dict(row)) for row in await db.fetch(_ACCOUNT_FLOWS)]


async def latest_orders(db: Executor, *, limit: int) -> list[JobSummary]:
    return [JobSummary(**dict(row)) for row in await db.fetch(_LATEST, limit)]


def _ended(row: asyncpg.Record) -> EndedStats:
    # Over nothing a percentile of an array is NULL, or an array of NULLs.
    pairs = {
        name: tuple(row[name]) if row[name] and row[name][0] is not None else None for name in ("took", "waited")
    }
    return EndedStats(**{**dict(row), **pairs})


def _timeline_event(row: asyncpg.Record) -> TimelineEvent:
    values = dict(row)
    values |= {"services": tuple(row["services"]), "job_ids": tuple(row["job_ids"]), "facts": row["facts"] or {}}
    return TimelineEvent(**values)
