"""Jobs (orders and internal jobs), and the lease that decides which worker may write for a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from storage.pool import Connection, Executor

Plan = Literal["A", "B"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]

# Users who have paid get two minutes of priority. An internal job has no progress message to finalize.
_INSERT = """
INSERT INTO jobs (id, order_key, service, internal, user_id, bot_name, chat_id, language, inputs, summary, price,
                  plan, fell_back, progress_message_id, finalized, priority, claimable_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $4,
        CASE WHEN EXISTS (SELECT FROM topups t WHERE t.user_id = $5 AND t.paid_at IS NOT NULL) THEN 120 ELSE 0 END,
        now() + make_interval(secs => CASE WHEN $12 = 'A' THEN $15 ELSE 0 END::float8))
ON CONFLICT (order_key) DO NOTHING RETURNING *"""

_GET = "SELECT * FROM jobs WHERE id = $1"
_GET_BY_ORDER_KEY = "SELECT * FROM jobs WHERE order_key = $1"
_GET_BY_PREDICTION = """
SELECT j.* FROM journal s JOIN jobs j ON j.id = s.job_id
WHERE starts_with(s.step, 'start-') AND s.result ->> 'value' = $1"""

# The worker that holds the job renews the lease and keeps the epoch. Another worker gets a new epoch, and only if no
# worker holds the job (and it is on the same plan, or past its start deadline) or the lease has expired.
# Leases cannot be renewed while PostgreSQL is down. So after it restarts, workers have the length of one lease to
# renew theirs before any job is taken over.
_CLAIM = """
UPDATE jobs SET state = 'running', plan = $3, worker_id = $2,
    epoch = epoch + CASE WHEN worker_id = $2 THEN 0 ELSE 1 END,
    claimable_at = now() + make_interval(secs => $4), started_at = coalesce(started_at, now())
WHERE id = $1 AND state IN ('queued', 'running')
  AND (worker_id = $2 OR (worker_id IS NULL AND (plan = $3 OR claimable_at <= now()))
       OR (claimable_at <= now() AND now() >= pg_postmaster_start_time() + make_interval(secs => $4)))
RETURNING *"""

# The jobs table is Plan B's queue: this statement returns new orders, jobs of dead workers and jobs that Plan A handed
# over, the oldest first; `priority` is a head start in seconds. Internal jobs are claimed separately. `$4` names the
# services whose jobs may be taken over from Plan A.
_CLAIM_NEXT = """
UPDATE jobs SET state = 'running', plan = 'B', worker_id = $1, epoch = epoch + 1,
    claimable_at = now() + make_interval(secs => $2), started_at = coalesce(started_at, now())
WHERE id = (
    SELECT j.id FROM jobs j
    WHERE j.state IN ('queued', 'running') AND j.claimable_at <= now()
      AND (j.worker_id IS NULL OR now() >= pg_postmaster_start_time() + make_interval(secs => $2))
      AND (j.plan = 'B' OR j.service = ANY($4::text[])) AND j.internal = $5
      AND (j.internal OR (SELECT count(*) FROM orders r
           WHERE r.user_id = j.user_id AND r.state = 'running' AND r.claimable_at > now()) < $3)
    ORDER BY j.created_at - make_interval(secs => j.priority) LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *"""

_RENEW = """
UPDATE jobs SET claimable_at = greatest(claimable_at, now() + make_interval(secs => $3))
WHERE id = $1 AND epoch = $2 AND state = 'running' RETURNING true"""

_RELEASE = """
UPDATE jobs SET worker_id = NULL, claimable_at = now() WHERE id = $1 AND epoch = $2 AND state = 'running'"""

_END = """
UPDATE jobs SET state = $3, failure = $4, result = $5, ended_at = now()
WHERE id = $1 AND epoch = $2 AND state = 'running' RETURNING *"""

# A cancellation takes the lease: the previous worker finds a newer epoch and stops quietly. It is too late once the
# delivery of the result, or the message about the failure, has started. A separate statement locks the row first, so
# that this one sees a delivery that started while it waited for the lock.
_LOCK = "SELECT true FROM jobs WHERE id = $1 FOR UPDATE"
_CLAIM_FOR_CANCELLATION = """
UPDATE jobs SET cancel_requested = true, state = 'running', plan = 'B', worker_id = $3, epoch = epoch + 1,
    claimable_at = now() + make_interval(secs => $4), started_at = coalesce(started_at, now())
WHERE id = $1 AND user_id = $2 AND state IN ('queued', 'running') AND NOT cancel_requested
  AND NOT EXISTS (SELECT FROM journal WHERE job_id = $1 AND step IN ('deliver', 'notify'))
RETURNING *"""

_EXTEND_START_DEADLINE = """
UPDATE jobs SET claimable_at = now() + make_interval(secs => $2)
WHERE id = ANY($1::uuid[]) AND state IN ('queued', 'running') AND plan = 'A' AND worker_id IS NULL"""

_RESEND_LOST = """
WITH lost AS (
    UPDATE jobs SET worker_id = NULL, resends = resends + 1, claimable_at = now() + make_interval(secs => $2)
    WHERE state IN ('queued', 'running') AND plan = 'A' AND claimable_at <= now() AND service = ANY($1::text[])
      AND (worker_id IS NULL OR now() >= pg_postmaster_start_time() + make_interval(secs => $2))
      AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)
    RETURNING id)
INSERT INTO outbox (job_id) SELECT id FROM lost RETURNING job_id"""

_MOVE_TO_PLAN_B = """
UPDATE jobs SET plan = 'B', claimable_at = now(), fell_back = service = ANY($2::text[])
WHERE id = ANY($1::uuid[]) AND state = 'queued' AND plan = 'A' AND worker_id IS NULL"""

# Accepted by Inngest but not started, or started and no longer renewing the lease.
_COUNT_STALLED = """
SELECT count(*) FROM jobs
WHERE state IN ('queued', 'running') AND plan = 'A'
  AND claimable_at < now() + make_interval(secs => CASE WHEN worker_id IS NULL THEN $1 ELSE 0 END::float8)
  AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)"""
_RECLAIM_UNSTARTED = """
UPDATE jobs SET plan = 'B', claimable_at = now(), fell_back = true
WHERE state = 'queued' AND plan = 'A' AND worker_id IS NULL AND service = ANY($1::text[])
  AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)
RETURNING id"""

# Held by no worker: the lease has expired, or no worker has started the order.
_RELEASE_STALE = """
WITH stale AS (
    UPDATE jobs SET plan = 'B', worker_id = NULL, claimable_at = now()
    WHERE state IN ('queued', 'running') AND created_at < now() - make_interval(secs => $1) AND NOT internal
      AND (claimable_at <= now() OR (state = 'queued' AND worker_id IS NULL))
    RETURNING id
), unsent AS (DELETE FROM outbox o USING stale WHERE o.job_id = stale.id)
SELECT count(*) FROM stale"""

_QUEUE_POSITION = """
SELECT (SELECT count(*) FROM orders q WHERE q.state = 'queued' AND q.plan = 'B'
            AND (q.created_at - make_interval(secs => q.priority), q.id)
             <= (j.created_at - make_interval(secs => j.priority), j.id)) AS position
FROM jobs j WHERE j.id = $1 AND j.state = 'queued' AND j.plan = 'B'"""

_QUEUED = """
SELECT o.*, row_number() OVER (ORDER BY o.created_at - make_interval(secs => o.priority), o.id) AS position
FROM orders o WHERE o.state = 'queued' AND o.plan = 'B' ORDER BY position LIMIT $1"""

_UNFINALIZED = """
SELECT * FROM jobs
WHERE ended_at < now() - make_interval(secs => $1) AND NOT finalized ORDER BY ended_at LIMIT $2"""
_MARK_FINALIZED = "UPDATE jobs SET finalized = true WHERE id = $1"
_CLEAR_FINALIZED = "UPDATE jobs SET finalized = false WHERE id = $1 AND ended_at IS NOT NULL"

_LATEST_OF_USER = "SELECT * FROM orders WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2"


@dataclass(frozen=True)
class Job:
    """A row of `jobs`. migrations/0001_baseline.sql describes the columns. `price` is in credits."""

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
        """Whether it has succeeded, failed or been cancelled."""
        return self.state in ("succeeded", "failed", "cancelled")


_FIELDS = tuple(Job.__dataclass_fields__)


def job_from_row(row: asyncpg.Record | None) -> Job | None:
    """The job in a row with all columns of `jobs`. None for no row."""
    return None if row is None else Job(**{name: row[name] for name in _FIELDS})


@dataclass(frozen=True)
class NewJob:
    """A job to be inserted.

    Attributes:
        price: In credits.
        start_timeout: Seconds Plan A has to start it before any worker may claim it.
        fell_back: It is on Plan B only because Inngest is unavailable.
        internal: Nobody ordered it: it has no price, no progress message and is in no user's history.
    """

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
    internal: bool = False


async def insert_job(db: Executor, job: NewJob) -> Job | None:
    """Insert the job. None if there is already a job with its order key."""
    row = await db.fetchrow(
        _INSERT,
        job.id,
        job.order_key,
        job.service,
        job.internal,
        job.user_id,
        job.bot_name,
        job.chat_id,
        job.language,
        job.inputs,
        job.summary,
        job.price,
        job.plan,
        job.fell_back,
        job.progress_message_id,
        job.start_timeout,
    )
    return job_from_row(row)


async def get_job(db: Executor, job_id: UUID) -> Job | None:
    """The job with this id, if there is one."""
    return job_from_row(await db.fetchrow(_GET, job_id))


async def get_job_by_order_key(db: Executor, order_key: str) -> Job | None:
    """The job of the order with this key, if there is one."""
    return job_from_row(await db.fetchrow(_GET_BY_ORDER_KEY, order_key))


async def get_job_by_prediction(db: Executor, prediction_id: str) -> Job | None:
    """The job that started this prediction, if there is one."""
    return job_from_row(await db.fetchrow(_GET_BY_PREDICTION, prediction_id))


async def claim_job(db: Executor, job_id: UUID, worker_id: str, plan: Plan, *, seconds: float) -> Job | None:
    """Take the lease on a job, or renew it.

    Args:
        db: The pool or a connection.
        job_id: The job.
        worker_id: The worker that claims it.
        plan: The plan it runs on from now on.
        seconds: Length of the lease.

    Returns:
        The job as it is now, or None if it has ended or another worker holds it.
    """
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
    """Claim the next job for Plan B: queued for it, or held by no worker any more. None if there is none.

    Args:
        db: The pool or a connection.
        worker_id: The worker that claims it.
        seconds: Length of the lease.
        per_user_limit: How many orders of one user may run at once. Internal jobs have no such limit.
        takeover_services: The services whose jobs may be taken over from Plan A.
        internal: Claim an internal job instead of an order.
    """
    values = worker_id, seconds, per_user_limit, list(takeover_services), internal
    return job_from_row(await db.fetchrow(_CLAIM_NEXT, *values))


async def renew_lease(db: Executor, job_id: UUID, epoch: int, *, seconds: float) -> bool:
    """Extend the lease to at least `seconds` from now. False if the job has ended or another worker holds it."""
    return bool(await db.fetchval(_RENEW, job_id, epoch, seconds))


async def claim_for_cancellation(
    connection: Connection, job_id: UUID, user_id: int, worker_id: str, *, seconds: float
) -> Job | None:
    """Take a user's job from its worker in order to cancel it, with a lease of `seconds`.

    Must run inside a transaction. None if it is too late because the job has ended or its delivery has started.
    """
    await connection.execute(_LOCK, job_id)
    return job_from_row(await connection.fetchrow(_CLAIM_FOR_CANCELLATION, job_id, user_id, worker_id, seconds))


async def release_job(db: Executor, job_id: UUID, epoch: int) -> None:
    """Give up the lease, so that another worker can claim the job at once."""
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
    """End the job. None if another worker holds it or it has already ended.

    `failure` is the key of the text for the user.
    """
    return job_from_row(await db.fetchrow(_END, job_id, epoch, state, failure, result))


async def extend_start_deadline(db: Executor, job_ids: Sequence[UUID], *, seconds: float) -> None:
    """Give Inngest, which has accepted these jobs, `seconds` to start them before Plan B may claim them."""
    await db.execute(_EXTEND_START_DEADLINE, list(job_ids), seconds)


async def resend_lost_jobs(db: Executor, services: Sequence[str], *, seconds: float) -> int:
    """Put jobs that Inngest has lost into the outbox again. For services in mode `a`, whose jobs Plan B may not take.

    Args:
        db: The pool or a connection.
        services: The services.
        seconds: How long Inngest has to start the jobs this time.

    Returns:
        How many jobs were put into the outbox.
    """
    return len(await db.fetch(_RESEND_LOST, list(services), seconds))


async def move_to_plan_b(db: Executor, job_ids: Sequence[UUID], *, fell_back: Sequence[str] = ()) -> None:
    """Move jobs that have not started to Plan B.

    `fell_back` names the services that would use Inngest if it were available.
    """
    await db.execute(_MOVE_TO_PLAN_B, list(job_ids), list(fell_back))


async def count_stalled(db: Executor, *, seconds_left: float) -> int:
    """Count jobs accepted by Inngest whose lease has expired, or that have less than `seconds_left` to start."""
    return int(await db.fetchval(_COUNT_STALLED, seconds_left))


async def reclaim_unstarted(db: Executor, services: Sequence[str]) -> int:
    """Move to Plan B all jobs of these services that Inngest accepted but has not started. Returns how many."""
    return len(await db.fetch(_RECLAIM_UNSTARTED, list(services)))


async def release_stale_jobs(db: Executor, *, seconds: float) -> int:
    """Move to Plan B all orders that are older than `seconds` and held by no worker. Returns how many."""
    return int(await db.fetchval(_RELEASE_STALE, seconds))


async def queue_position(db: Executor, job_id: UUID) -> int | None:
    """The order's position in Plan B's queue, from 1. None if it is not queued there."""
    position: int | None = await db.fetchval(_QUEUE_POSITION, job_id)
    return position


async def queued_jobs(db: Executor, *, limit: int) -> list[tuple[int, Job]]:
    """The first orders in Plan B's queue, each with its position."""
    rows = await db.fetch(_QUEUED, limit)
    return [(row["position"], job) for row in rows if (job := job_from_row(row))]


async def unfinalized_jobs(db: Executor, *, seconds: float, limit: int) -> list[Job]:
    """Jobs that ended more than `seconds` ago and whose progress message does not show it yet, oldest first."""
    return [job for row in await db.fetch(_UNFINALIZED, seconds, limit) if (job := job_from_row(row))]


async def mark_finalized(db: Executor, job_id: UUID) -> None:
    """Record that the progress message shows how the job ended."""
    await db.execute(_MARK_FINALIZED, job_id)


async def clear_finalized(db: Executor, job_id: UUID) -> None:
    """Record that the progress message of an ended job does not show how it ended, so that it is edited again."""
    await db.execute(_CLEAR_FINALIZED, job_id)


async def latest_user_jobs(db: Executor, user_id: int, *, limit: int) -> list[Job]:
    """A user's latest orders, newest first."""
    return [job for row in await db.fetch(_LATEST_OF_USER, user_id, limit) if (job := job_from_row(row))]
