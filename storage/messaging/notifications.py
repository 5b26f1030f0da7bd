"""Notifications. Each has a key, so that it is sent only once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor
from storage.users.preferences import is_quiet

# A second attempt has the same key and gets no row.
_RECORD = """
INSERT INTO notifications (key, user_id) SELECT $1, id FROM users WHERE id = $2
ON CONFLICT (key) DO NOTHING RETURNING true"""

_MARK_SENT = "UPDATE notifications SET sent_at = now() WHERE key = $1 AND sent_at IS NULL"

_ADDRESSEE = """
SELECT u.id, u.bot_name, u.language, u.active, u.blocked, u.wants_news, u.quiet_from, u.quiet_until, n.sent_at
FROM users u LEFT JOIN notifications n ON n.key = $2
WHERE u.id = $1"""

_EXISTING = "SELECT id FROM users WHERE id = ANY($1::bigint[]) ORDER BY id"
_DELETE_OLD = "DELETE FROM notifications WHERE created_at < now() - make_interval(days => $1)"


@dataclass(frozen=True)
class Addressee:
    """The user a notification is for.

    Attributes:
        quiet_from: Hour of the day in UTC; None without quiet hours.
        quiet_until: Hour of the day in UTC; None without quiet hours.
        sent_at: When this notification was sent; None if it was not.
    """

    id: int
    bot_name: str
    language: str
    active: bool
    blocked: bool
    wants_news: bool
    quiet_from: int | None
    quiet_until: int | None
    sent_at: datetime | None

    def is_quiet(self, now: datetime) -> bool:
        """Whether `now` (in UTC) is within the user's quiet hours."""
        return is_quiet(self.quiet_from, self.quiet_until, now)


async def record_notification(db: Executor, key: str, user_id: int) -> bool:
    """Record that a user is to be notified. False if that is already recorded or there is no such user."""
    return bool(await db.fetchval(_RECORD, key, user_id))


async def get_addressee(db: Executor, user_id: int, key: str) -> Addressee | None:
    """The current data of the user, and when the notification with this key was sent. None for an unknown user."""
    row = await db.fetchrow(_ADDRESSEE, user_id, key)
    return None if row is None else Addressee(**row)


async def mark_notification_sent(db: Executor, key: str) -> None:
    """Record that it was sent now, unless that is already recorded."""
    await db.execute(_MARK_SENT, key)


async def existing_user_ids(db: Executor, user_ids: Sequence[int]) -> list[int]:
    """Those of the ids that belong to users of the bot, sorted and without duplicates."""
    return [row["id"] for row in await db.fetch(_EXISTING, list(user_ids))]


async def delete_old_notifications(db: Executor, *, days: int) -> None:
    """Delete notifications recorded more than `days` ago. After that, the same key could be sent again."""
    await db.execute(_DELETE_OLD, days)
