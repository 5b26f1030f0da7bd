"""Names, numbers and times in the dashboard."""

from datetime import UTC, datetime
from typing import TypedDict

from services.core.i18n import DEFAULT_LANGUAGE, Texts
from services.generation.registry import SERVICES


class ServiceName(TypedDict):
    """The emoji and the English name of a service."""

    emoji: str
    name: str


def service_names(texts: Texts) -> dict[str, ServiceName]:
    """The names of all services, by their ids."""
    return {
        spec.id: {"emoji": spec.emoji, "name": texts.t(DEFAULT_LANGUAGE, f"service.{spec.id}.name")}
        for spec in SERVICES.values()
    }


def format_duration(seconds: float | None) -> str:
    """A duration in one or two units, such as `42 ms`, `9.5 s` or `2 h 1 min`; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{max(0, seconds) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_time(at: datetime) -> str:
    """A time in UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def format_credits(amount: int) -> str:
    """An amount of credits."""
    return f"{amount:,} ⭐".replace(",", "\N{NARROW NO-BREAK SPACE}")


def pluralize(count: int, one: str, many: str) -> str:
    """A count and the noun in the right form."""
    return f"{count} {one if count == 1 else many}"
