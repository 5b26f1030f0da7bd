"""The last line of every order gets said, whatever died between the order's end and the saying."""

import asyncio

from loguru import logger

from services.messaging.app_context import AppContext
from services.messaging.progress import finalize_progress
from storage.jobs.jobs import unfinalized_jobs
from storage.pool import DATABASE_UNAVAILABLE

_INTERVAL_SECONDS = 3.0
_GRACE_SECONDS = 3.0
_BATCH_SIZE = 20


async def reconcile_progress_messages(studio: AppContext) -> None:
    """Say it for orders that ended a while ago and whose progress message does not show it, for ever."""
    while True:
        await asyncio.sleep(_INTERVAL_SECONDS)
        try:
            for job in await unfinalized_jobs(studio.db, seconds=_GRACE_SECONDS, limit=_BATCH_SIZE):
                await finalize_progress(studio, job)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("last words wait, the database is away: {}", error)
