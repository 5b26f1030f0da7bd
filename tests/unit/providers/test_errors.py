"""What providers' messages and statuses mean, and what of them may be logged."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from providers.errors import classify_message, classify_status, parse_retry_after
from providers.media_type import detect_media_type
from providers.protocols import ErrorKind


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("NSFW content detected. Try running it again", ErrorKind.MODERATION),
        ("The input or output was flagged as sensitive. (E005)", ErrorKind.MODERATION),
        ("Your request was rejected by our safety system", ErrorKind.MODERATION),
        ("content moderation", ErrorKind.MODERATION),
        ("safety_tolerance must be at most 6", ErrorKind.FAILED),
        ("names are case-sensitive", ErrorKind.FAILED),
        ("CUDA out of memory. Tried to allocate 20 MiB", ErrorKind.FAILED),
        ("Internal error", ErrorKind.FAILED),
        ("Prediction interrupted; please retry (code: PA)", ErrorKind.OVERLOADED),
        ("Service is currently unavailable due to high demand (E003)", ErrorKind.OVERLOADED),
        ("The input was invalid (E006)", ErrorKind.BAD_INPUT),
        ("Prediction timed out", ErrorKind.TIMED_OUT),
        ("", ErrorKind.FAILED),
    ],
)
def test_classify_message_returns_the_kind_of_error(message: str, kind: ErrorKind) -> None:
    assert classify_message(message) is kind


def test_classify_status_of_a_429_without_quota_is_quota() -> None:
    assert classify_status(429, "insufficient_quota") is ErrorKind.QUOTA
    assert classify_status(429, "slow down") is ErrorKind.RATE_LIMITED
    assert classify_status(418) is ErrorKind.FAILED


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "12"}, "", 12.0),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after": "soon"}, "", None),
        ({}, "Your rate limit resets in ~30s.", 30.0),
        ({}, "Please try again in 20ms.", 0.02),
        ({}, "slow down", None),
    ],
)
def test_parse_retry_after_returns_seconds(headers: dict[str, str], message: str, seconds: float | None) -> None:
    assert parse_retry_after(headers, message) == seconds


def test_parse_retry_after_with_a_date_returns_seconds() -> None:
    later = datetime.now(UTC) + timedelta(seconds=60)
    wait = parse_retry_after({"retry-after": format_datetime(later, usegmt=True)})
    assert wait is not None
    assert 55 < wait <= 60


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x1a\x00\x00\x00WEBPVP8L", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav"),
        (b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00isom", "video/mp4"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  ", "video/quicktime"),
        (b"\x00\x00\x00\x14ftypM4A \x00\x00\x02\x00M4A ", "audio/mp4"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"OggS", "audio/ogg"),
        (b"text", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_detect_media_type_reads_the_first_bytes(start: bytes, kind: str) -> None:
    assert detect_media_type(start) == kind
