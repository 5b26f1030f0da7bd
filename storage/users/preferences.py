"""What users set in /settings."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

_GET = "SELECT wants_news, quiet_from, quiet_until, utc_offset FROM users WHERE id = $1"
_TOGGLE_WANTS_NEWS = "UPDATE users SET wants_news = NOT wants_news WHERE id = $1"
_SET_QUIET = "UPDATE users SET quiet_from = $2, quiet_until = $3 WHERE id = $1"

# The quiet hours are stored in UTC, so a change of the offset shifts them.
_SET_OFFSET = """
UPDATE users SET utc_offset = $2,
    quiet_from = (quiet_from + coalesce(utc_offset, 0) - $2 + 24) % 24,
    quiet_until = (quiet_until + coalesce(utc_offset, 0) - $2 + 24) % 24
WHERE id = $1"""


@dataclass(frozen=True)
class Preferences:
    """A user's preferences.

    Attributes:
        wants_news: Whether they get broadcasts.
        quiet_from: Hour of the day in UTC, 0 to 23; None without quiet hours.
        quiet_until: Likewise.
        utc_offset: How many hours the user's clock is ahead of UTC, 0 to 23; None if they never set it.
    """

    wants_news: bool
    quiet_from: int | None
    quiet_until: int | None
    utc_offset: int | None

    @property
    def local_quiet_hours(self) -> tuple[int, int] | None:
        """The quiet hours in the user's local time; None without quiet hours."""
        if self.quiet_from is None or self.quiet_until is None:
            return None
        ahead = self.utc_offset or 0
        return (self.quiet_from + ahead) % 24, (self.quiet_until + ahead) % 24


def is_quiet(begin: int | None, end: int | None, now: datetime) -> bool:
    """Whether `now` is within quiet hours, all in UTC.

    Args:
        begin: The first hour; None without quiet hours.
        end: The hour that they end at, which may be on the next day; None without quiet hours.
        now: The time to check.
    """
    if begin is None or end is None:
        return False
    return begin <= now.hour < end if begin < end else now.hour >= begin or now.hour < end


async def get_preferences(db: Executor, user_id: int) -> Preferences:
    """The preferences of a registered user."""
    row = await db.fetchrow(_GET, user_id)
    assert row is not None  # noqa: S101 - a user who writes is registered
    return Preferences(**row)


async def toggle_wants_news(db: Executor, user_id: int) -> None:
    """Switch broadcasts on or off."""
    await db.execute(_TOGGLE_WANTS_NEWS, user_id)


async def set_quiet_hours(db: Executor, user_id: int, begin: int | None, end: int | None) -> None:
    """Set the quiet hours, in UTC, or remove them with None."""
    await db.execute(_SET_QUIET, user_id, begin, end)


async def set_utc_offset(db: Executor, user_id: int, hours: int) -> None:
    """Set how many hours, 0 to 23, the user's clock is ahead of UTC. Quiet hours stay the same in local time."""
    await db.execute(_SET_OFFSET, user_id, hours)
