"""Days as people write them, in their language. All days are UTC's."""

from datetime import UTC, date, datetime

from babel.dates import format_date

_GAP = "\N{NO-BREAK SPACE}"
_DAY = {"es": f"d{_GAP}'de'{_GAP}MMMM{_GAP}'de'{_GAP}y"}


def day(language: str, at: datetime) -> str:
    """A day with its year: `13 August 2026`."""
    return format_date(_utc(at), _DAY.get(language, f"d{_GAP}MMMM{_GAP}y"), locale=language)


def short_day(language: str, at: datetime, *, today: date | None = None) -> str:
    """A day of a list: `13 Aug`, and with the year where that is not this one."""
    today = today or datetime.now(UTC).date()
    that = _utc(at)
    year = "" if that.year == today.year else f"{_GAP}y"
    return format_date(that, f"d{_GAP}MMM{year}", locale=language)


def _utc(at: datetime) -> date:
    return at.astimezone(UTC).date()
