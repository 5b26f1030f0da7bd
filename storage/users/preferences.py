"""What a person set in /settings."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

_GET = "SELECT news, quiet_from, quiet_until, utc_offset FROM users WHERE id = $1"
_TOGGLE_NEWS = "UPDATE users SET news = NOT news WHERE id = $1"
_SET_QUIET = "UPDATE users SET quiet_from = $2, quiet_until = $3 WHERE id = $1"

# The quiet hours are kept in UTC, so they move with the clock that they were chosen by.
_SET_OFFSET = """
UPDATE users SET utc_offset = $2,
    quiet_from = (quiet_from + coalesce(utc_offset, 0) - $2 + 24) % 24,
    quiet_until = (quiet_until + coalesce(utc_offset, 0) - $2 + 24) % 24
WHERE id = $1"""


@dataclass(frozen=True)
class Preferences:
    """Hours of the day, 0 to 23: the quiet ones in UTC, both None for none. `utc_offset` is how many hours the
    person's clock is ahead of UTC, None where they never said."""

    wants_news: bool
    quiet_from: int | None
    quiet_until: int | None
    utc_offset: int | None

    @property
    def local_quiet_hours(self) -> tuple[int, int] | None:
        """The quiet hours by the person's own clock."""
        if self.quiet_from is None or self.quiet_until is None:
            return None
        ahead = self.utc_offset or 0
        return (self.quiet_from + ahead) % 24, (self.quiet_until + ahead) % 24


def is_quiet(begin: int | None, end: int | None, now: datetime) -> bool:
    """Whether `now` (in UTC) is between these hours, which may go over midnight. None for no quiet hours."""
    if begin is None or end is None:
        return False
    return begin <= now.hour < end if begin < end else now.hour >= begin or now.hour < end


async def get_preferences(db: Executor, user_id: int) -> Preferences:
    row = await db.fetchrow(_GET, user_id)
    assert row is not None  # noqa: S101 - who writes is known
    return Preferences(**row)


async def toggle_wants_news(db: Executor, user_id: int) -> None:
    await db.execute(_TOGGLE_NEWS, user_id)


async def set_quiet_hours(db: Executor, user_id: int, begin: int | None, end: int | None) -> None:
    """Hours in UTC; None for no quiet hours."""
    await db.execute(_SET_QUIET, user_id, begin, end)


async def set_utc_offset(db: Executor, user_id: int, hours: int) -> None:
    """`hours` ahead of UTC, 0 to 23. Quiet hours stay what they were on the person's clock."""
    await db.execute(_SET_OFFSET, user_id, hours)
