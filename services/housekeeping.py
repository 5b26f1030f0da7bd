"""What has to be tidied now and then: by any process, harmlessly by several."""

import asyncio

from loguru import logger

from storage.pool import DATABASE_AWAY, Pool
from storage.updates import forget_updates

_EVERY_SECONDS = 3600
_KEEP_UPDATES_DAYS = 2


async def keep_tidy(db: Pool) -> None:
    """Forget updates that Telegram cannot send again, for ever."""
    while True:
        try:
            await forget_updates(db, days=_KEEP_UPDATES_DAYS)
        except DATABASE_AWAY as error:
            logger.warning("nothing was tidied, the database is away: {}", error)
        await asyncio.sleep(_EVERY_SECONDS)
