"""What has to be tidied now and then: by any process, harmlessly by several."""

import asyncio

from loguru import logger

from storage.jobs.blobs import delete_old_blobs
from storage.messaging.notifications import delete_old_notifications
from storage.pool import DATABASE_UNAVAILABLE, Pool
from storage.updates import delete_old_updates

_INTERVAL_SECONDS = 3600
_KEEP_UPDATES_DAYS = 2
_KEEP_BLOBS_DAYS = 7
_KEEP_NOTIFICATIONS_DAYS = 90


async def run_cleanup(db: Pool) -> None:
    """Forget updates that Telegram cannot send again, and bytes that were delivered long ago, for ever."""
    while True:
        try:
            await delete_old_updates(db, days=_KEEP_UPDATES_DAYS)
            await delete_old_blobs(db, days=_KEEP_BLOBS_DAYS)
            await delete_old_notifications(db, days=_KEEP_NOTIFICATIONS_DAYS)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("nothing was tidied, the database is away: {}", error)
        await asyncio.sleep(_INTERVAL_SECONDS)
