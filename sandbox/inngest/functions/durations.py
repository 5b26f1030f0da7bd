"""Durations as Inngest writes them: ``30s``, ``1h30m``, ``24h0m0s``, ``7d``, ``2w``."""

import re
from datetime import datetime
from typing import Final

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


def parse_duration(text: str) -> float:
    """Seconds in a duration.

    Raises:
        ValueError: When the text is not a duration.
    """
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a duration: {text!r}")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def seconds_until(text: str, now: datetime) -> float:
    """Seconds from now until an ISO 8601 time, or the length of a duration; never below zero.

    Raises:
        ValueError: When the text is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return parse_duration(text)
    return max(0.0, (moment - now).total_seconds())
