"""Deletes rows that are no longer needed, so that tables do not grow without limit."""

from datetime import datetime
from typing import Final

from storage.jobs.blobs import delete_old_blobs
from storage.messaging.notifications import delete_old_notifications
from storage.pool import Pool
from storage.updates import delete_old_updates

_KEEP_UPDATES_DAYS: Final = 2
_KEEP_BLOBS_DAYS: Final = 7
_KEEP_NOTIFICATIONS_DAYS: Final = 90


async def clean_up(db: Pool, scheduled_for: datetime) -> None:
    """Delete updates after 2 days, blobs after 7 days and records of notifications after 90 days.

    Telegram cannot send an update again after 24 hours: https://core.telegram.org/bots/api#getting-updates

    Args:
        db: The database.
        scheduled_for: The time for which this scheduled task was due. Ages are measured from the current time.
    """
    await delete_old_updates(db, days=_KEEP_UPDATES_DAYS)
    await delete_old_blobs(db, days=_KEEP_BLOBS_DAYS)
    await delete_old_notifications(db, days=_KEEP_NOTIFICATIONS_DAYS)
