"""What providers' words and statuses mean, and what of them may be logged."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from providers.errors import MAX_DETAIL_LENGTH, classify_message, classify_status, parse_retry_after, sanitize
from providers.media_type import detect_media_type
from providers.protocols import ErrorKind


@pytest.mark.parametrize(
    ("said", "kind"),
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
def test_words(said: str, kind: ErrorKind) -> None:
    assert classify_message(said) is kind


def test_an_empty_purse_may_come_as_a_429() -> None:
    assert classify_status(429, "insufficient_quota") is ErrorKind.QUOTA
    assert classify_status(429, "slow down") is ErrorKind.RATE_LIMITED
    assert classify_status(418) is ErrorKind.FAILED


def test_a_log_gets_no_key_no_url_and_no_novel() -> None:
    said = sanitize(
        "Bearer abc.def r8_Abc123 sk-proj-12*34 at https://host/file/bot12:AA/x?sig=1\n data:a/b;base64,AAAA"
    )
    for secret in ("abc.def", "Abc123", "proj", "bot12", "sig", "AAAA", "\n"):
        assert secret not in said
    assert "https://host/…" in said
    assert len(sanitize("x" * 5000)) == MAX_DETAIL_LENGTH


@pytest.mark.parametrize(
    ("headers", "said", "seconds"),
    [
        ({"retry-after": "12"}, "", 12.0),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after": "soon"}, "", None),
        ({}, "Your rate limit resets in ~30s.", 30.0),
        ({}, "Please try again in 20ms.", 0.02),
        ({}, "slow down", None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], said: str, seconds: float | None) -> None:
    assert parse_retry_after(headers, said) == seconds


def test_a_retry_after_that_is_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=60)
    wait = parse_retry_after({"retry-after": format_datetime(later, usegmt=True)})
    assert wait is not None
    assert 55 < wait <= 60


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav"),
        (b"\x00\x00\x00\x18ftypisom", "video/mp4"),
        (b"OggS", "audio/ogg"),
        (b"text", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_media_types(start: bytes, kind: str) -> None:
    assert detect_media_type(start) == kind
