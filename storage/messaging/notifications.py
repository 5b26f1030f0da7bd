"""What people were told of: each thing once, by its key; and who is told it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor
from storage.users.preferences import is_quiet

# The same key for another try of the same thing; nothing is given back where it was noted before.
_RECORD = """
INSERT INTO notifications (key, user_id) SELECT $1, id FROM users WHERE id = $2
ON CONFLICT (key) DO NOTHING RETURNING true"""

_MARK_SENT = "UPDATE notifications SET sent_at = now() WHERE key = $1 AND sent_at IS NULL"

_ADDRESSEE = """
SELECT u.id, u.bot_name, u.language, u.active, u.blocked, u.news, u.quiet_from, u.quiet_until, n.sent_at
FROM users u LEFT JOIN notifications n ON n.key = $2
WHERE u.id = $1"""

_KNOWN = "SELECT id FROM users WHERE id = ANY($1::bigint[]) ORDER BY id"
_DELETE_OLD = "DELETE FROM notifications WHERE created_at < now() - make_interval(days => $1)"


@dataclass(frozen=True)
class Addressee:
    """Whoever is to be told something, as they are now. `quiet_from` and `quiet_until` are hours in UTC."""

    id: int
    bot_name: str
    language: str
    active: bool
    blocked: bool
    wants_news: bool
    quiet_from: int | None
    quiet_until: int | None
    sent_at: datetime | None
    """When they were told this already."""

    def is_quiet(self, now: datetime) -> bool:
        """Whether `now` (in UTC) is in their quiet hours."""
        return is_quiet(self.quiet_from, self.quiet_until, now)


async def record_notification(db: Executor, key: str, user_id: int) -> bool:
    """Write down that somebody is to be told something. False where it was noted before, or nobody has this id."""
    return bool(await db.fetchval(_RECORD, key, user_id))


async def get_addressee(db: Executor, user_id: int, key: str) -> Addressee | None:
    row = await db.fetchrow(_ADDRESSEE, user_id, key)
    return None if row is None else Addressee(**row)


async def mark_notification_sent(db: Executor, key: str) -> None:
    await db.execute(_MARK_SENT, key)


async def existing_user_ids(db: Executor, user_ids: Sequence[int]) -> list[int]:
    """Those of them whom the bot knows, each once."""
    return [row["id"] for row in await db.fetch(_KNOWN, list(user_ids))]


async def delete_old_notifications(db: Executor, *, days: int) -> None:
    """What was told long ago is not asked about any more."""
    await db.execute(_DELETE_OLD, days)
