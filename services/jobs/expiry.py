"""Orders that could not be started or finished for a day end: the credits return, and the user is notified."""

from datetime import UTC, datetime, timedelta
from typing import Final

from loguru import logger

from storage.jobs.jobs import Job, release_stale_jobs
from storage.pool import Pool

STALE_AFTER: Final = timedelta(hours=24)


def is_stale(job: Job) -> bool:
    """Whether a job was accepted over a day ago."""
    return datetime.now(UTC) - job.created_at > STALE_AFTER


async def expire_stale_jobs(db: Pool, scheduled_for: datetime) -> None:
    """Let Plan B have every stale order that nobody works on. The engine ends a stale order instead of running it.

    Args:
        db: The database.
        scheduled_for: When this scheduled task was due.
    """
    if count := await release_stale_jobs(db, seconds=STALE_AFTER.total_seconds()):
        logger.warning("stale orders are being ended", jobs=count)
