"""The last line of every order gets said, whatever died between the order's end and the saying."""

import asyncio

from loguru import logger

from services.messaging.app_context import Studio
from services.messaging.progress import show_end
from storage.jobs.jobs import unshown_jobs
from storage.pool import DATABASE_AWAY

_EVERY_SECONDS = 3.0
_AFTER_SECONDS = 3.0
_AT_ONCE = 20


async def keep_saying(studio: Studio) -> None:
    """Say it for orders that ended a while ago and whose progress message does not show it, for ever."""
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            for job in await unshown_jobs(studio.db, seconds=_AFTER_SECONDS, limit=_AT_ONCE):
                await show_end(studio, job)
        except DATABASE_AWAY as error:
            logger.warning("last words wait, the database is away: {}", error)
