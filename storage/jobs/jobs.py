"""Accepted orders, and the lease that says who may work on each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from storage.pool import Connection, Executor

Plan = Literal["A", "B"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

_INSERT = """
INSERT INTO jobs (id, order_key, service, user_id, bot_name, chat_id, progress_message_id,
                  language, inputs, price, plan, summary, fell_back, errand, shown, priority, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $14, $15, $15,
        CASE WHEN EXISTS (SELECT FROM topups t WHERE t.user_id = $4 AND t.paid_at IS NOT NULL) THEN 120 ELSE 0 END,
        now() + make_interval(secs => CASE WHEN $11 = 'A' THEN $12 ELSE 0 END::float8))
ON CONFLICT (order_key) DO NOTHING RETURNING *"""

_GET = "SELECT * FROM jobs WHERE id = $1"
_GET_BY_ORDER = "SELECT * FROM jobs WHERE order_key = $1"

# The same holder renews its lease and keeps its epoch; anybody else waits until the lease has run out,
# or takes a queued job of their own plan, and gets a new epoch.
# Nobody can renew a lease while PostgreSQL is away: after its restart the old runners have a lease's time to come
# back before what they hold may be taken over.
_CLAIM = """
UPDATE jobs SET state = 'running', plan = $3, holder = $2,
    epoch = epoch + CASE WHEN holder = $2 THEN 0 ELSE 1 END,
    lease_until = now() + make_interval(secs => $4), started_at = coalesce(started_at, now())
WHERE id = $1 AND state IN ('queued', 'running')
  AND (holder = $2 OR (holder IS NULL AND (plan = $3 OR lease_until <= now()))
       OR (lease_until <= now() AND now() >= pg_postmaster_start_time() + make_interval(secs => $4)))
RETURNING *"""

# The jobs table is Plan B's queue: new orders, what a dead process left and what Plan A let go all
# come out of this one statement, oldest first; who has paid goes before those who came up to 2 minutes
# earlier. Errands have a lane of their own. `$4` names the services whose Plan A jobs may be taken over.
_CLAIM_NEXT = """
UPDATE jobs SET state = 'running', plan = 'B', holder = $1, epoch = epoch + 1,
    lease_until = now() + make_interval(secs => $2), started_at = coalesce(started_at, now())
WHERE id = (
    SELECT j.id FROM jobs j
    WHERE j.state IN ('queued', 'running') AND j.lease_until <= now()
      AND (j.holder IS NULL OR now() >= pg_postmaster_start_time() + make_interval(secs => $2))
      AND (j.plan = 'B' OR j.service = ANY($4::text[])) AND j.errand = $5
      AND (j.errand OR (SELECT count(*) FROM jobs r
           WHERE r.user_id = j.user_id AND r.state = 'running' AND r.lease_until > now() AND NOT r.errand) < $3)
    ORDER BY j.created_at - make_interval(secs => j.priority) LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *"""

_RENEW = """
UPDATE jobs SET lease_until = greatest(lease_until, now() + make_interval(secs => $3))
WHERE id = $1 AND epoch = $2 AND state = 'running' RETURNING true"""

_RELEASE = """
UPDATE jobs SET holder = NULL, lease_until = now() WHERE id = $1 AND epoch = $2 AND state = 'running'"""

_END = """
UPDATE jobs SET state = $3, failure = $4, result = $5, ended_at = now()
WHERE id = $1 AND epoch = $2 AND state = 'running' RETURNING *"""

# Whoever stops a job takes its lease: the runner it had finds a newer epoch and ends quietly. Once delivery
# has begun it is too late. The row is locked by a statement of its own first, so that this one sees a delivery
# that began meanwhile.
_LOCK = "SELECT true FROM jobs WHERE id = $1 FOR UPDATE"
_CLAIM_FOR_CANCELLATION = """
UPDATE jobs SET cancel_requested = true, state = 'running', plan = 'B', holder = $3, epoch = epoch + 1,
    lease_until = now() + make_interval(secs => $4), started_at = coalesce(started_at, now())
WHERE id = $1 AND user_id = $2 AND state IN ('queued', 'running') AND NOT cancel_requested
  AND NOT EXISTS (SELECT FROM journal WHERE job_id = $1 AND step IN ('deliver', 'tell'))
RETURNING *"""

_BY_PREDICTION = """
SELECT j.* FROM journal s JOIN jobs j ON j.id = s.job_id
WHERE starts_with(s.step, 'start-') AND s.result ->> 'value' = $1"""

_EXTEND_START_DEADLINE = """
UPDATE jobs SET lease_until = now() + make_interval(secs => $2)
WHERE id = ANY($1::uuid[]) AND state IN ('queued', 'running') AND plan = 'A' AND holder IS NULL"""

_RESEND_LOST = """
WITH lost AS (
    UPDATE jobs SET holder = NULL, sendings = sendings + 1, lease_until = now() + make_interval(secs => $2)
    WHERE state IN ('queued', 'running') AND plan = 'A' AND lease_until <= now() AND service = ANY($1::text[])
      AND (holder IS NULL OR now() >= pg_postmaster_start_time() + make_interval(secs => $2))
      AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)
    RETURNING id)
INSERT INTO outbox (job_id) SELECT id FROM lost RETURNING job_id"""

_MOVE_TO_PLAN_B = """
UPDATE jobs SET plan = 'B', lease_until = now(), fell_back = service = ANY($2::text[])
WHERE id = ANY($1::uuid[]) AND state = 'queued' AND plan = 'A' AND holder IS NULL"""

# Inngest has accepted and not begun them, or begun them and fallen silent.
_COUNT_STALLED = """
SELECT count(*) FROM jobs
WHERE state IN ('queued', 'running') AND plan = 'A'
  AND lease_until < now() + make_interval(secs => CASE WHEN holder IS NULL THEN $1 ELSE 0 END::float8)
  AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)"""
_RECLAIM_UNSTARTED = """
UPDATE jobs SET plan = 'B', lease_until = now(), fell_back = true
WHERE state = 'queued' AND plan = 'A' AND holder IS NULL AND service = ANY($1::text[])
  AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)
RETURNING id"""

_QUEUE_POSITION = """
SELECT (SELECT count(*) FROM jobs q WHERE q.state = 'queued' AND q.plan = 'B'
            AND NOT q.errand
            AND (q.created_at - make_interval(secs => q.priority), q.id)
             <= (j.created_at - make_interval(secs => j.priority), j.id)) AS place
FROM jobs j WHERE j.id = $1 AND j.state = 'queued' AND j.plan = 'B'"""

_QUEUED = """
SELECT j.*, row_number() OVER (ORDER BY j.created_at - make_interval(secs => j.priority), j.id) AS place
FROM jobs j
WHERE j.state = 'queued' AND j.plan = 'B' AND NOT j.errand ORDER BY place LIMIT $1"""

_UNFINALIZED = """
SELECT * FROM jobs WHERE ended_at < now() - make_interval(secs => $1) AND NOT shown ORDER BY ended_at LIMIT $2"""
_MARK_FINALIZED = "UPDATE jobs SET shown = true WHERE id = $1"
_CLEAR_FINALIZED = "UPDATE jobs SET shown = false WHERE id = $1 AND ended_at IS NOT NULL"

# Nobody works on them: their lease has run out, or they were never begun.
_RELEASE_STALE = """
WITH stale AS (
    UPDATE jobs SET plan = 'B', holder = NULL, lease_until = now()
    WHERE state IN ('queued', 'running') AND created_at < now() - make_interval(secs => $1) AND NOT errand
      AND (lease_until <= now() OR (state = 'queued' AND holder IS NULL))
    RETURNING id
), unsent AS (DELETE FROM outbox o USING stale WHERE o.job_id = stale.id)
SELECT count(*) FROM stale"""

_LATEST = "SELECT * FROM jobs WHERE user_id = $1 AND NOT errand ORDER BY created_at DESC LIMIT $2"


@dataclass(frozen=True)
class Job:
    """One accepted order. `price` is in whole Stars; `failure` is the key of what the person was told."""

    id: UUID
    order_key: str
    service: str
    user_id: int
    bot_name: str
    chat_id: int
    progress_message_id: int | None
    language: str
    inputs: dict[str, Any]
    summary: str
    price: int
    state: JobState
    plan: Plan
    worker_id: str | None
    epoch: int
    claimable_at: datetime
    cancel_requested: bool
    priority: int
    internal: bool
    resends: int
    failure: str | None
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")


_FIELDS = tuple(Job.__dataclass_fields__)


def job_from_row(row: asyncpg.Record | None) -> Job | None:
    return None if row is None else Job(**{name: row[name] for name in _FIELDS})


@dataclass(frozen=True)
class NewJob:
    """What an order becomes a job from. `start_within` is the seconds that Plan A has to begin it."""

    id: UUID
    order_key: str
    service: str
    user_id: int
    bot_name: str
    chat_id: int
    progress_message_id: int | None
    language: str
    inputs: dict[str, Any]
    price: int
    plan: Plan
    start_timeout: float
    summary: str = ""
    fell_back: bool = False
    """On Plan B only because Inngest is away."""
    internal: bool = False
    """Nobody ordered it: it has no price, no progress message and no place in anybody's history."""


async def insert_job(db: Executor, job: NewJob) -> Job | None:
    """The new job, or None where this order became a job before."""
    return job_from_row(await db.fetchrow(_INSERT, *(getattr(job, name) for name in NewJob.__dataclass_fields__)))


async def release_stale_jobs(db: Executor, *, seconds: float) -> int:
    """Give every job older than that, and that nobody works on, to Plan B; how many there were."""
    return int(await db.fetchval(_RELEASE_STALE, seconds))


async def get_job(db: Executor, job_id: UUID) -> Job | None:
    return job_from_row(await db.fetchrow(_GET, job_id))


async def get_job_by_order_key(db: Executor, order_key: str) -> Job | None:
    return job_from_row(await db.fetchrow(_GET_BY_ORDER, order_key))


async def claim_job(db: Executor, job_id: UUID, worker_id: str, plan: Plan, *, seconds: float) -> Job | None:
    """Take or renew the lease on a job. None when it has ended or another holds it."""
    return job_from_row(await db.fetchrow(_CLAIM, job_id, worker_id, plan, seconds))


async def claim_next_job(
    db: Executor,
    worker_id: str,
    *,
    seconds: float,
    per_user_limit: int,
    takeover_services: Sequence[str],
    internal: bool = False,
) -> Job | None:
    """Take the oldest order, or errand, that waits for Plan B, or that nobody works on any more."""
    return job_from_row(
        await db.fetchrow(_CLAIM_NEXT, worker_id, seconds, per_user_limit, list(takeover_services), internal)
    )


async def renew_lease(db: Executor, job_id: UUID, epoch: int, *, seconds: float) -> bool:
    """Keep the lease for that long from now at least. False when it is another's by now."""
    return bool(await db.fetchval(_RENEW, job_id, epoch, seconds))


async def claim_for_cancellation(
    connection: Connection, job_id: UUID, user_id: int, worker_id: str, *, seconds: float
) -> Job | None:
    """Take a person's job away from its runner in order to cancel it. None when it is too late for that.

    Belongs inside a transaction.
    """
    await connection.execute(_LOCK, job_id)
    return job_from_row(await connection.fetchrow(_CLAIM_FOR_CANCELLATION, job_id, user_id, worker_id, seconds))


async def get_job_by_prediction(db: Executor, prediction_id: str) -> Job | None:
    """The job that started this prediction at its provider."""
    return job_from_row(await db.fetchrow(_BY_PREDICTION, prediction_id))


async def release_job(db: Executor, job_id: UUID, epoch: int) -> None:
    """Let go of a job so that any other process may take it at once."""
    await db.execute(_RELEASE, job_id, epoch)


async def end_job(
    db: Executor,
    job_id: UUID,
    epoch: int,
    state: JobState,
    *,
    failure: str | None,
    result: dict[str, Any] | None,
) -> Job | None:
    """End the job if the lease is ours. None when it is another's, or the job has ended."""
    return job_from_row(await db.fetchrow(_END, job_id, epoch, state, failure, result))


async def extend_start_deadline(db: Executor, job_ids: Sequence[UUID], *, seconds: float) -> None:
    """Inngest has accepted these; it has that long to begin before Plan B takes over."""
    await db.execute(_EXTEND_START_DEADLINE, list(job_ids), seconds)


async def resend_lost_jobs(db: Executor, services: Sequence[str], *, seconds: float) -> int:
    """Put into the outbox what Plan A began, or was sent, and fell silent about. For services of mode `a`, whose
    jobs nobody else may take over."""
    return len(await db.fetch(_RESEND_LOST, list(services), seconds))


async def move_to_plan_b(db: Executor, job_ids: Sequence[UUID], *, fell_back: Sequence[str] = ()) -> None:
    """Give unbegun jobs to Plan B. `fell_back` names the services that Inngest would have if it were there."""
    await db.execute(_MOVE_TO_PLAN_B, list(job_ids), list(fell_back))


async def count_stalled(db: Executor, *, seconds_left: float) -> int:
    """Jobs that Inngest has fallen silent about, or not begun with less than that left to begin them."""
    return int(await db.fetchval(_COUNT_STALLED, seconds_left))


async def reclaim_unstarted(db: Executor, services: Sequence[str]) -> int:
    """Give every job of these services that Inngest accepted and has not begun to Plan B; how many."""
    return len(await db.fetch(_RECLAIM_UNSTARTED, list(services)))


async def queue_position(db: Executor, job_id: UUID) -> int | None:
    """The job's place among those that wait for Plan B, from 1; None when it does not wait."""
    place: int | None = await db.fetchval(_QUEUE_POSITION, job_id)
    return place


async def queued_jobs(db: Executor, *, limit: int) -> list[tuple[int, Job]]:
    """The first jobs that wait for Plan B, each with its place."""
    rows = await db.fetch(_QUEUED, limit)
    return [(row["place"], job) for row in rows if (job := job_from_row(row))]


async def unfinalized_jobs(db: Executor, *, seconds: float, limit: int) -> list[Job]:
    """Jobs that ended so long ago, and whose progress message does not say so yet."""
    return [job for row in await db.fetch(_UNFINALIZED, seconds, limit) if (job := job_from_row(row))]


async def mark_finalized(db: Executor, job_id: UUID) -> None:
    await db.execute(_MARK_FINALIZED, job_id)


async def clear_finalized(db: Executor, job_id: UUID) -> None:
    """Something else was put into the progress message: if the job has ended by now, its end is said once more."""
    await db.execute(_CLEAR_FINALIZED, job_id)


async def latest_user_jobs(db: Executor, user_id: int, *, limit: int) -> list[Job]:
    return [job for row in await db.fetch(_LATEST, user_id, limit) if (job := job_from_row(row))]
