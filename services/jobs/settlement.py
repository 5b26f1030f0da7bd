"""The end of a job and the settlement of its credits, which are one transaction."""

from typing import Any

from services.core.errors import LeaseLost
from services.ledger import credits as ledger
from storage.jobs.jobs import Job, JobState, end_job
from storage.pool import Pool


async def end_and_settle(
    db: Pool, job: Job, state: JobState, *, failure: str | None = None, result: dict[str, Any] | None = None
) -> Job:
    """End a job, and capture what it holds if it succeeded, or else release it.

    Args:
        db: The database.
        job: The job, with the epoch of the caller's lease.
        state: How it ended.
        failure: The key of the reason, where it failed.
        result: What it produced, where it succeeded.

    Returns:
        The ended job.

    Raises:
        LeaseLost: Another worker has taken the job, or it has already ended. Nothing has changed.
    """
    async with db.acquire() as connection, connection.transaction():
        ended = await end_job(connection, job.id, job.epoch, state, failure=failure, result=result)
        if ended is None:
            raise LeaseLost
        await (ledger.capture if state == "succeeded" else ledger.release)(connection, ended)
    return ended
