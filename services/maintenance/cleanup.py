"""What has to be tidied now and then: by any process, harmlessly by several."""

import asyncio

from loguru import logger

from storage.jobs.blobs import forget_blobs
from storage.messaging.notifications import forget_notifications
from storage.pool import DATABASE_AWAY, Pool
from storage.updates import forget_updates

_EVERY_SECONDS = 3600
_KEEP_UPDATES_DAYS = 2
_KEEP_BLOBS_DAYS = 7
_KEEP_NOTIFICATIONS_DAYS = 90


async def keep_tidy(db: Pool) -> None:
    """Forget updates that Telegram cannot send again, and bytes that were delivered long ago, for ever."""
    while True:
        try:
            await forget_updates(db, days=_KEEP_UPDATES_DAYS)
            await forget_blobs(db, days=_KEEP_BLOBS_DAYS)
            await forget_notifications(db, days=_KEEP_NOTIFICATIONS_DAYS)
        except DATABASE_AWAY as error:
            logger.warning("nothing was tidied, the database is away: {}", error)
        await asyncio.sleep(_EVERY_SECONDS)
