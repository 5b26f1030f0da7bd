"""Checks of a run's result. Each raises ResultMismatch, which says what the result was instead."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from services.hello import DEFAULT_LANGUAGE, GREETINGS

Result = Mapping[str, Any]
Check = Callable[[Result], None]
REQUIRED = ("message", "processedAt", "eventData", "environment")


class ResultMismatch(AssertionError):
    """The result is not what it should be."""


def has_required_fields(*fields: str) -> Check:
    """Each field is present and not None; without arguments, those of hello world."""

    def check(result: Result) -> None:
        missing = [field for field in fields or REQUIRED if result.get(field) is None]
        if missing:
            raise ResultMismatch(f"{missing} missing in {dict(result)}")

    return check


def has_correct_language(language: str) -> Check:
    """The message is the greeting in that language, or in English where we have none."""
    beginning = GREETINGS.get(language, GREETINGS[DEFAULT_LANGUAGE]).partition("{name}")[0]

    def check(result: Result) -> None:
        if not str(result["message"]).startswith(beginning):
            raise ResultMismatch(f"{result['message']!r} does not greet in {language}")

    return check


def message_contains_name(name: str) -> Check:
    def check(result: Result) -> None:
        if name not in str(result["message"]):
            raise ResultMismatch(f"{result['message']!r} does not name {name}")

    return check


def has_documented_environment(node_env: str = "development", port: int = 9288) -> Check:
    def check(result: Result) -> None:
        if result["environment"] != {"nodeEnv": node_env, "inngestPort": port}:
            raise ResultMismatch(f"another environment: {result['environment']}")

    return check


def processed_in_utc(*, within_seconds: float = 60) -> Check:
    """`processedAt` is ISO 8601 in UTC, and recent."""

    def check(result: Result) -> None:
        at = datetime.fromisoformat(result["processedAt"])
        if at.utcoffset() != timedelta(0):
            raise ResultMismatch(f"not in UTC: {result['processedAt']}")
        if abs(datetime.now(UTC) - at) > timedelta(seconds=within_seconds):
            raise ResultMismatch(f"not just now: {result['processedAt']}")

    return check


def all_of(*checks: Check) -> Check:
    def check(result: Result) -> None:
        for each in checks:
            each(result)

    return check
