"""What a provider's refusal means, told from its HTTP status and its words. Shared by all real providers."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from providers.protocols import ErrorKind, ProviderError

MAX_DETAIL_LENGTH = 300
"""Characters of a provider's own words that are kept for the log."""

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
    # https://replicate.com/docs/reference/error-codes: these are its own troubles, not the model's.
    (
        ErrorKind.OVERLOADED,
        r"\bE003\b|\bE004\b|\bE6716\b|high demand|overloaded|currently unavailable|code: PA\b",
    ),
    (ErrorKind.TIMED_OUT, r"timed? ?out|deadline"),
    (ErrorKind.BAD_INPUT, r"\bE006\b|input was invalid|invalid input"),
)
_MISSING_MODEL = re.compile(r"version does not exist|model[^.]*not found", re.IGNORECASE)
_SECRETS = re.compile(r"\b(?:sk|r8|xi)[-_][\w*.-]{3,}|Bearer\s+\S+", re.IGNORECASE)
_DATA_URI = re.compile(r"data:[\w/+.;=-]*,\S*")
_URL = re.compile(r"(https?://[^\s/?#]+)[^\s]*")
_SECONDS = re.compile(r"(?:resets in|available in|try again in|retry after:?)\s*~?\s*(\d+(?:\.\d+)?)\s*(ms|s)?")


def classify_status(status: int, text: str = "") -> ErrorKind:
    """What an HTTP answer of 400 and over means; `text` is what the provider said with it."""
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
    """What a failed piece of work's own error text means; anything unknown is FAILED."""
    for kind, words in _BY_MESSAGE:
        if re.search(words, text, re.IGNORECASE):
            return kind
    return ErrorKind.FAILED


def sanitize(text: str) -> str:
    """A provider's words fit for a log: short, one line, with no key and no more of a URL than its host."""
    text = _DATA_URI.sub("data:…", " ".join(text.split()))
    text = _URL.sub(r"\1/…", _SECRETS.sub("…", text))
    return text if len(text) <= MAX_DETAIL_LENGTH else text[: MAX_DETAIL_LENGTH - 1] + "…"


def parse_retry_after(headers: Mapping[str, str], text: str = "") -> float | None:
    """How long a 429 asks us to wait: by its Retry-After (seconds or a date), else by its words."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    if value:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    said = _SECONDS.search(text.lower())
    if said is None:
        return None
    return float(said[1]) / (1000 if said[2] == "ms" else 1)


def error_from_response(provider: str, status: int, text: str, headers: Mapping[str, str]) -> ProviderError:
    """The error for an HTTP answer of 400 and over."""
    kind = classify_status(status, text)
    said = sanitize(text)
    if status in {401, 403}:
        said = f"the API key was refused, check it in the settings; {said}"
    wait = parse_retry_after(headers, text) if status in {429, 503} else None
    return ProviderError(kind, f"{provider} answered {status}: {said}", retry_after=wait)
