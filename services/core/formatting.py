"""Formats dates for users, in their language. All dates are in UTC."""

from datetime import UTC, date, datetime

from babel.dates import format_date

_NBSP = "\N{NO-BREAK SPACE}"
_DAY_PATTERNS = {"es": f"d{_NBSP}'de'{_NBSP}MMMM{_NBSP}'de'{_NBSP}y"}


def format_day(language: str, at: datetime) -> str:
    """Format a date with its year: `13 August 2026`."""
    return format_date(_utc_date(at), _DAY_PATTERNS.get(language, f"d{_NBSP}MMMM{_NBSP}y"), locale=language)


def format_short_day(language: str, at: datetime, *, today: date | None = None) -> str:
    """Format a date for a list: `13 Aug`, with the year unless it is the current one."""
    today = today or datetime.now(UTC).date()
    utc_day = _utc_date(at)
    year = "" if utc_day.year == today.year else f"{_NBSP}y"
    return format_date(utc_day, f"d{_NBSP}MMM{year}", locale=language)


def _utc_date(at: datetime) -> date:
    return at.astimezone(UTC).date()
