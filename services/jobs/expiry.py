"""Orders that nobody could begin or finish for a day end: the Stars go back, and the person is told."""

from datetime import UTC, datetime, timedelta
from typing import Final

from loguru import logger

from services.messaging.app_context import AppContext
from storage.jobs.jobs import Job, release_stale_jobs

STALE_AFTER: Final = timedelta(hours=24)


def is_stale(job: Job) -> bool:
    return datetime.now(UTC) - job.created_at > STALE_AFTER


async def expire_stale_jobs(studio: AppContext, scheduled_for: datetime) -> None:
    """Let Plan B have every stale job that nobody works on; `run_job` ends a stale one instead of doing it."""
    if count := await release_stale_jobs(studio.db, seconds=STALE_AFTER.total_seconds()):
        logger.warning("{} orders are older than {} and end now", count, STALE_AFTER)
