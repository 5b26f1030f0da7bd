"""Expires orders that were not finished within a day: credits are returned and the user is notified."""

from datetime import UTC, datetime, timedelta
from typing import Final

from loguru import logger

from storage.jobs.jobs import Job, release_stale_jobs
from storage.pool import Pool

STALE_AFTER: Final = timedelta(hours=24)


def is_stale(job: Job) -> bool:
    """Whether a job was accepted more than a day ago."""
    return datetime.now(UTC) - job.created_at > STALE_AFTER


async def expire_stale_jobs(db: Pool, scheduled_for: datetime) -> None:
    """Release stale orders without a worker to Plan B. The engine there ends them instead of running them.

    Args:
        db: The database.
        scheduled_for: The time for which this scheduled task was due.
    """
    if count := await release_stale_jobs(db, seconds=STALE_AFTER.total_seconds()):
        logger.warning("stale orders are being ended", jobs=count)
