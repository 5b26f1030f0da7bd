"""The stored results of a job's steps. A step in the journal never runs again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.pool import Executor

_READ = "SELECT step, epoch, started_at, ended_at, result FROM journal WHERE job_id = $1"

# Both writes check the lease in the same statement: a worker with an old epoch writes nothing.
_START = """
INSERT INTO journal (job_id, step, epoch, plan)
SELECT j.id, $2, j.epoch, j.plan FROM jobs j
WHERE j.id = $1 AND j.epoch = $3 AND j.state = 'running' FOR SHARE
ON CONFLICT (job_id, step) DO UPDATE SET epoch = EXCLUDED.epoch, plan = EXCLUDED.plan
RETURNING started_at"""

_FINISH = """
INSERT INTO journal (job_id, step, epoch, plan, ended_at, result)
SELECT j.id, $2, j.epoch, j.plan, now(), $4 FROM jobs j
WHERE j.id = $1 AND j.epoch = $3 AND j.state = 'running'
ON CONFLICT (job_id, step) DO UPDATE
    SET epoch = EXCLUDED.epoch, plan = EXCLUDED.plan, ended_at = EXCLUDED.ended_at, result = EXCLUDED.result
    WHERE journal.ended_at IS NULL
RETURNING true"""


@dataclass(frozen=True)
class JournalEntry:
    """A step. `ended_at` is None if it has started but no result is stored."""

    step: str
    epoch: int
    started_at: datetime
    ended_at: datetime | None
    result: Any


async def read_journal(db: Executor, job_id: UUID) -> dict[str, JournalEntry]:
    """A job's steps by name."""
    return {row["step"]: JournalEntry(**dict(row)) for row in await db.fetch(_READ, job_id)}


async def start_step(db: Executor, job_id: UUID, step: str, epoch: int) -> datetime | None:
    """Record that the step starts.

    Returns:
        When it was first started, or None if another worker holds the job.
    """
    started_at: datetime | None = await db.fetchval(_START, job_id, step, epoch)
    return started_at


async def finish_step(db: Executor, job_id: UUID, step: str, epoch: int, result: Any) -> bool:
    """Store the step's result. False if another worker holds the job or the step already has a result."""
    return bool(await db.fetchval(_FINISH, job_id, step, epoch, result))
