"""When a five-field cron expression is next due."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_SEARCH_LIMIT: Final = timedelta(days=366 * 4 + 1)  # a 29th of February comes round within this


def next_cron_time(expression: str, after: datetime) -> datetime:
    """The first whole minute after ``after`` that the expression names, in UTC.

    ``TZ=Europe/Paris 0 9 * * *`` counts in that zone, as Inngest writes it; otherwise in UTC.

    Raises:
        ValueError: When the expression is not a cron expression, or names no moment at all.
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
    # Where both days are narrowed, cron takes either; else both must hold.
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
