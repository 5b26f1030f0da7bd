"""Classifies providers' errors by HTTP status and message. Shared by all real providers."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from providers.protocols import ErrorKind, ProviderError
from providers.redaction import redact_line

_BY_STATUS = {
    400: ErrorKind.BAD_INPUT,
    402: ErrorKind.QUOTA,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMED_OUT,
    410: ErrorKind.NOT_FOUND,
    413: ErrorKind.BAD_INPUT,
    422: ErrorKind.BAD_INPUT,
    429: ErrorKind.RATE_LIMITED,
}
_BY_MESSAGE = (
    (
        ErrorKind.MODERATION,
        r"nsfw|(?<!case[ -])\bsensitive\b|\bsafety\b(?!_)|moderat|content[_ ]policy|flagged|\bE005\b",
    ),
    (ErrorKind.QUOTA, r"insufficient[_ ](?:quota|credit|funds)|exceeded your current quota|payment required"),
    # Errors of Replicate itself, not of the model: https://replicate.com/docs/reference/error-codes
    (
        ErrorKind.OVERLOADED,
        r"\bE003\b|\bE004\b|\bE6716\b|high demand|overloaded|currently unavailable|code: PA\b",
    ),
    (ErrorKind.TIMED_OUT, r"timed? ?out|deadline"),
    (ErrorKind.BAD_INPUT, r"\bE006\b|input was invalid|invalid input"),
)
_MISSING_MODEL = re.compile(r"version does not exist|model[^.]*not found", re.IGNORECASE)
_SECONDS = re.compile(r"(?:resets in|available in|try again in|retry after:?)\s*~?\s*(\d+(?:\.\d+)?)\s*(ms|s)?")


def classify_status(status: int, text: str = "") -> ErrorKind:
    """Classify an HTTP error response.

    Args:
        status: The status, 400 or higher.
        text: The provider's message, which tells apart errors with the same status.
    """
    if status >= 500:
        return ErrorKind.OVERLOADED
    kind = _BY_STATUS.get(status, ErrorKind.FAILED)
    if status == 429 and classify_message(text) is ErrorKind.QUOTA:
        return ErrorKind.QUOTA
    if kind is ErrorKind.BAD_INPUT and classify_message(text) is ErrorKind.MODERATION:
        return ErrorKind.MODERATION
    if kind is ErrorKind.BAD_INPUT and _MISSING_MODEL.search(text):
        return ErrorKind.NOT_FOUND
    return kind


def classify_message(text: str) -> ErrorKind:
    """Classify the error message of failed work; FAILED if nothing matches."""
    for kind, pattern in _BY_MESSAGE:
        if re.search(pattern, text, re.IGNORECASE):
            return kind
    return ErrorKind.FAILED


def parse_retry_after(headers: Mapping[str, str], text: str = "") -> float | None:
    """Read from a response how long to wait before a retry.

    Args:
        headers: The response headers. `Retry-After` is either seconds or a date:
            https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Retry-After
        text: The provider's message, searched if the header is missing.

    Returns:
        Seconds, or None if the response does not say.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    if value:
        try:
            retry_at = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0.0, (retry_at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    match = _SECONDS.search(text.lower())
    if match is None:
        return None
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def error_from_response(provider: str, status: int, text: str, headers: Mapping[str, str]) -> ProviderError:
    """Build the ProviderError for an HTTP error response.

    Args:
        provider: The provider's name, for the log.
        status: The status, 400 or higher.
        text: The provider's message.
        headers: The response headers.
    """
    kind = classify_status(status, text)
    message = redact_line(text)
    if status in {401, 403}:
        message = f"API key refused, check the settings; {message}"
    wait = parse_retry_after(headers, text) if status in {429, 503} else None
    return ProviderError(kind, f"{provider} answered {status}: {message}", retry_after=wait)
