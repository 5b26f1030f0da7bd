"""Accepted orders, and the lease that says who may work on each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from storage.pool import Connection, Executor

Plan = Literal["A", "B"]
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]

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

_HAND_OVER = """
UPDATE jobs SET holder = NULL, lease_until = now() WHERE id = $1 AND epoch = $2 AND state = 'running'"""

_END = """
UPDATE jobs SET state = $3, failure = $4, result = $5, ended_at = now()
WHERE id = $1 AND epoch = $2 AND state = 'running' RETURNING *"""

# Whoever stops a job takes its lease: the runner it had finds a newer epoch and ends quietly. Once delivery
# has begun it is too late. The row is locked by a statement of its own first, so that this one sees a delivery
# that began meanwhile.
_LOCK = "SELECT true FROM jobs WHERE id = $1 FOR UPDATE"
_STOP = """
UPDATE jobs SET cancel_requested = true, state = 'running', plan = 'B', holder = $3, epoch = epoch + 1,
    lease_until = now() + make_interval(secs => $4), started_at = coalesce(started_at, now())
WHERE id = $1 AND user_id = $2 AND state IN ('queued', 'running') AND NOT cancel_requested
  AND NOT EXISTS (SELECT FROM journal WHERE job_id = $1 AND step IN ('deliver', 'tell'))
RETURNING *"""

_BY_PREDICTION = """
SELECT j.* FROM journal s JOIN jobs j ON j.id = s.job_id
WHERE starts_with(s.step, 'start-') AND s.result ->> 'value' = $1"""

_WAIT_FOR_PLAN_A = """
UPDATE jobs SET lease_until = now() + make_interval(secs => $2)
WHERE id = ANY($1::uuid[]) AND state IN ('queued', 'running') AND plan = 'A' AND holder IS NULL"""

_LOST_BY_PLAN_A = """
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
_SILENT = """
SELECT count(*) FROM jobs
WHERE state IN ('queued', 'running') AND plan = 'A'
  AND lease_until < now() + make_interval(secs => CASE WHEN holder IS NULL THEN $1 ELSE 0 END::float8)
  AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)"""
_TAKE_UNBEGUN = """
UPDATE jobs SET plan = 'B', lease_until = now(), fell_back = true
WHERE state = 'queued' AND plan = 'A' AND holder IS NULL AND service = ANY($1::text[])
  AND NOT EXISTS (SELECT FROM outbox WHERE job_id = jobs.id)
RETURNING id"""

_PLACE = """
SELECT (SELECT count(*) FROM jobs q WHERE q.state = 'queued' AND q.plan = 'B'
            AND NOT q.errand
            AND (q.created_at - make_interval(secs => q.priority), q.id)
             <= (j.created_at - make_interval(secs => j.priority), j.id)) AS place
FROM jobs j WHERE j.id = $1 AND j.state = 'queued' AND j.plan = 'B'"""

_WAITING = """
SELECT j.*, row_number() OVER (ORDER BY j.created_at - make_interval(secs => j.priority), j.id) AS place
FROM jobs j
WHERE j.state = 'queued' AND j.plan = 'B' AND NOT j.errand ORDER BY place LIMIT $1"""

_UNSHOWN = """
SELECT * FROM jobs WHERE ended_at < now() - make_interval(secs => $1) AND NOT shown ORDER BY ended_at LIMIT $2"""
_MARK_SHOWN = "UPDATE jobs SET shown = true WHERE id = $1"
_SHOW_AGAIN = "UPDATE jobs SET shown = false WHERE id = $1 AND ended_at IS NOT NULL"

# Nobody works on them: their lease has run out, or they were never begun.
_FREE_STALE = """
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
    state: State
    plan: Plan
    holder: str | None
    epoch: int
    lease_until: datetime
    cancel_requested: bool
    priority: int
    errand: bool
    sendings: int
    failure: str | None
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")


_FIELDS = tuple(Job.__dataclass_fields__)


def job_of(row: asyncpg.Record | None) -> Job | None:
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
    start_within: float
    summary: str = ""
    fell_back: bool = False
    """On Plan B only because Inngest is away."""
    errand: bool = False
    """Nobody ordered it: it has no price, no progress message and no place in anybody's history."""


async def insert_job(db: Executor, job: NewJob) -> Job | None:
    """The new job, or None where this order became a job before."""
    return job_of(await db.fetchrow(_INSERT, *(getattr(job, name) for name in NewJob.__dataclass_fields__)))


async def free_stale_jobs(db: Executor, *, seconds: float) -> int:
    """Give every job older than that, and that nobody works on, to Plan B; how many there were."""
    return int(await db.fetchval(_FREE_STALE, seconds))


async def get_job(db: Executor, job_id: UUID) -> Job | None:
    return job_of(await db.fetchrow(_GET, job_id))


async def get_job_by_order(db: Executor, order_key: str) -> Job | None:
    return job_of(await db.fetchrow(_GET_BY_ORDER, order_key))


async def claim_job(db: Executor, job_id: UUID, holder: str, plan: Plan, *, seconds: float) -> Job | None:
    """Take or renew the lease on a job. None when it has ended or another holds it."""
    return job_of(await db.fetchrow(_CLAIM, job_id, holder, plan, seconds))


async def claim_next_job(
    db: Executor, holder: str, *, seconds: float, per_person: int, take_over: Sequence[str], errands: bool = False
) -> Job | None:
    """Take the oldest order, or errand, that waits for Plan B, or that nobody works on any more."""
    return job_of(await db.fetchrow(_CLAIM_NEXT, holder, seconds, per_person, list(take_over), errands))


async def renew_lease(db: Executor, job_id: UUID, epoch: int, *, seconds: float) -> bool:
    """Keep the lease for that long from now at least. False when it is another's by now."""
    return bool(await db.fetchval(_RENEW, job_id, epoch, seconds))


async def stop_job(
    connection: Connection, job_id: UUID, user_id: int, holder: str, *, seconds: float
) -> Job | None:
    """Take a person's job away from its runner in order to cancel it. None when it is too late for that.

    Belongs inside a transaction.
    """
    await connection.execute(_LOCK, job_id)
    return job_of(await connection.fetchrow(_STOP, job_id, user_id, holder, seconds))


async def get_job_by_prediction(db: Executor, prediction_id: str) -> Job | None:
    """The job that started this prediction at its provider."""
    return job_of(await db.fetchrow(_BY_PREDICTION, prediction_id))


async def hand_over_job(db: Executor, job_id: UUID, epoch: int) -> None:
    """Let go of a job so that any other process may take it at once."""
    await db.execute(_HAND_OVER, job_id, epoch)


async def end_job(
    db: Executor,
    job_id: UUID,
    epoch: int,
    state: State,
    *,
    failure: str | None,
    result: dict[str, Any] | None,
) -> Job | None:
    """End the job if the lease is ours. None when it is another's, or the job has ended."""
    return job_of(await db.fetchrow(_END, job_id, epoch, state, failure, result))


async def wait_for_plan_a(db: Executor, job_ids: Sequence[UUID], *, seconds: float) -> None:
    """Inngest has accepted these; it has that long to begin before Plan B takes over."""
    await db.execute(_WAIT_FOR_PLAN_A, list(job_ids), seconds)


async def send_lost_again(db: Executor, services: Sequence[str], *, seconds: float) -> int:
    """Put into the outbox what Plan A began, or was sent, and fell silent about. For services of mode `a`, whose
    jobs nobody else may take over."""
    return len(await db.fetch(_LOST_BY_PLAN_A, list(services), seconds))


async def move_to_plan_b(db: Executor, job_ids: Sequence[UUID], *, fell_back: Sequence[str] = ()) -> None:
    """Give unbegun jobs to Plan B. `fell_back` names the services that Inngest would have if it were there."""
    await db.execute(_MOVE_TO_PLAN_B, list(job_ids), list(fell_back))


async def count_silent(db: Executor, *, seconds_left: float) -> int:
    """Jobs that Inngest has fallen silent about, or not begun with less than that left to begin them."""
    return int(await db.fetchval(_SILENT, seconds_left))


async def take_unbegun(db: Executor, services: Sequence[str]) -> int:
    """Give every job of these services that Inngest accepted and has not begun to Plan B; how many."""
    return len(await db.fetch(_TAKE_UNBEGUN, list(services)))


async def queue_place(db: Executor, job_id: UUID) -> int | None:
    """The job's place among those that wait for Plan B, from 1; None when it does not wait."""
    place: int | None = await db.fetchval(_PLACE, job_id)
    return place


async def waiting_jobs(db: Executor, *, limit: int) -> list[tuple[int, Job]]:
    """The first jobs that wait for Plan B, each with its place."""
    rows = await db.fetch(_WAITING, limit)
    return [(row["place"], job) for row in rows if (job := job_of(row))]


async def unshown_jobs(db: Executor, *, seconds: float, limit: int) -> list[Job]:
    """Jobs that ended so long ago, and whose progress message does not say so yet."""
    return [job for row in await db.fetch(_UNSHOWN, seconds, limit) if (job := job_of(row))]


async def mark_shown(db: Executor, job_id: UUID) -> None:
    await db.execute(_MARK_SHOWN, job_id)


async def show_again(db: Executor, job_id: UUID) -> None:
    """Something else was put into the progress message: if the job has ended by now, its end is said once more."""
    await db.execute(_SHOW_AGAIN, job_id)


async def latest_jobs(db: Executor, user_id: int, *, limit: int) -> list[Job]:
    return [job for row in await db.fetch(_LATEST, user_id, limit) if (job := job_of(row))]
