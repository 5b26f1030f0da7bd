"""The outbox: committed jobs whose event Inngest has not accepted yet."""

from collections.abc import Sequence
from uuid import UUID

from storage.jobs.jobs import Job, job_from_row
from storage.pool import Executor

_ADD = "INSERT INTO outbox (job_id) VALUES ($1)"
_REMOVE = "DELETE FROM outbox WHERE job_id = ANY($1::uuid[])"
_POSTPONE = """
UPDATE outbox SET claimed_until = now() + make_interval(secs => $2) WHERE job_id = ANY($1::uuid[])"""

# A claim expires, so if a publisher dies, another process sends the event.
_CLAIM = """
UPDATE outbox o SET claimed_until = now() + make_interval(secs => $1), attempts = o.attempts + 1
FROM jobs j
WHERE j.id = o.job_id AND o.job_id IN (
    SELECT job_id FROM outbox WHERE claimed_until <= now()
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING j.*"""


async def add_to_outbox(db: Executor, job_id: UUID) -> None:
    """Add a job, so that its event is sent to Inngest once the surrounding transaction has committed."""
    await db.execute(_ADD, job_id)


async def claim_outbox(db: Executor, *, seconds: float, limit: int) -> list[Job]:
    """Claim up to `limit` jobs for `seconds`, oldest first, in order to send their events."""
    return [job for row in await db.fetch(_CLAIM, seconds, limit) if (job := job_from_row(row))]


async def remove_from_outbox(db: Executor, job_ids: Sequence[UUID]) -> None:
    """Remove jobs whose events were accepted or that were moved to Plan B."""
    await db.execute(_REMOVE, list(job_ids))


async def postpone(db: Executor, job_ids: Sequence[UUID], *, seconds: float) -> None:
    """Have the events of these jobs sent again after `seconds`, not earlier."""
    await db.execute(_POSTPONE, list(job_ids), seconds)
