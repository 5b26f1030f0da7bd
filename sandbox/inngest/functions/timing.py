"""Cron expressions, and durations as Inngest writes them: ``30s``, ``1h30m``, ``24h0m0s``, ``7d``, ``2w``."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_SEARCH_LIMIT: Final = timedelta(days=366 * 4 + 1)  # long enough to reach a 29th of February
_UNIT_SECONDS: Final = {
    "w": 604_800.0,
    "d": 86_400.0,
    "h": 3_600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|w|d|h|m|s)")


def next_cron_time(expression: str, after: datetime) -> datetime:
    """Return when a cron expression is next due.

    Args:
        expression: Five fields, in UTC or in the zone of a prefix as in ``TZ=Europe/Paris 0 9 * * *``.
        after: The result is the first whole minute after this time.

    Returns:
        The time in UTC.

    Raises:
        ValueError: When it is no cron expression, or is never due.
    """
    zone: ZoneInfo | None = None
    if expression.startswith("TZ="):
        name, _, expression = expression.removeprefix("TZ=").partition(" ")
        zone = ZoneInfo(name)
    fields = expression.split()
    if len(fields) != len(_RANGES):
        raise ValueError(f"not a cron expression of five fields: {expression!r}")
    minutes, hours, days, months, weekdays = (
        _parse_field(field, *limits) for field, limits in zip(fields, _RANGES, strict=True)
    )
    # When both day fields are restricted, cron needs only one of them to match, otherwise both.
    match_either_day = not fields[2].startswith("*") and not fields[4].startswith("*")
    moment = after.astimezone(zone or UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    end = moment + _SEARCH_LIMIT
    while moment < end:
        in_month = moment.day in days
        in_week = moment.isoweekday() % 7 in {day % 7 for day in weekdays}
        if moment.month not in months or not (in_month or in_week if match_either_day else in_month and in_week):
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
        elif moment.hour not in hours:
            moment = moment.replace(minute=0) + timedelta(hours=1)
        elif moment.minute not in minutes:
            moment += timedelta(minutes=1)
        else:
            return moment.astimezone(UTC)
    raise ValueError(f"never due: {expression!r}")


def _parse_field(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, every = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            start, _, stop = span.partition("-")
            first = int(start)
            last = int(stop) if stop else (high if every else first)
        if not low <= first <= last <= high:
            raise ValueError(f"outside {low}-{high}: {part!r}")
        found.update(range(first, last + 1, int(every or 1)))
    return found


def parse_duration(text: str) -> float:
    """Return the seconds in a duration.

    Raises:
        ValueError: When the text is not a duration.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a duration: {text!r}")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def seconds_until(text: str, now: datetime) -> float:
    """Return the seconds from ``now`` until an ISO 8601 time, or the seconds in a duration; never below 0.

    Raises:
        ValueError: When the text is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return parse_duration(text)
    return max(0.0, (moment - now).total_seconds())
