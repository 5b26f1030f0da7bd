"""The outbox: jobs that are committed and whose event Inngest has not accepted yet."""

from collections.abc import Sequence
from uuid import UUID

from storage.jobs.jobs import Job, job_from_row
from storage.pool import Executor

_ADD = "INSERT INTO outbox (job_id) VALUES ($1)"
_REMOVE = "DELETE FROM outbox WHERE job_id = ANY($1::uuid[])"
_POSTPONE = """
UPDATE outbox SET claimed_until = now() + make_interval(secs => $2) WHERE job_id = ANY($1::uuid[])"""

# A claim expires, so a row whose publisher died is sent by another process.
_CLAIM = """
UPDATE outbox o SET claimed_until = now() + make_interval(secs => $1), attempts = o.attempts + 1
FROM jobs j
WHERE j.id = o.job_id AND o.job_id IN (
    SELECT job_id FROM outbox WHERE claimed_until <= now()
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING j.*"""


async def add_to_outbox(db: Executor, job_id: UUID) -> None:
    """Have the job's event sent to Inngest, once the surrounding transaction commits."""
    await db.execute(_ADD, job_id)


async def claim_outbox(db: Executor, *, seconds: float, limit: int) -> list[Job]:
    """Claim up to `limit` unsent jobs for `seconds`, oldest first."""
    return [job for row in await db.fetch(_CLAIM, seconds, limit) if (job := job_from_row(row))]


async def remove_from_outbox(db: Executor, job_ids: Sequence[UUID]) -> None:
    """Their events are accepted, or they have moved to Plan B."""
    await db.execute(_REMOVE, list(job_ids))


async def postpone(db: Executor, job_ids: Sequence[UUID], *, seconds: float) -> None:
    """Try to send these again after `seconds`, not earlier."""
    await db.execute(_POSTPONE, list(job_ids), seconds)
