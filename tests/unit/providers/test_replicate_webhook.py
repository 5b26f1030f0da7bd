"""Replicate's webhooks are accepted only with their signature, and only within five minutes."""

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from providers.replicate.webhook import InvalidWebhook, parse_prediction_id, verify_signature
from tests.support.fake_providers.replicate_trainings import WEBHOOK_SECRET, signed_headers

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BODY = json.dumps({"id": "abc", "status": "succeeded"}).encode()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    set_time(monkeypatch, NOW.timestamp())
    return monkeypatch


def set_time(monkeypatch: pytest.MonkeyPatch, timestamp: float) -> None:
    monkeypatch.setattr(time, "time", lambda: timestamp)


def test_verify_signature_with_the_example_of_svix_passes(clock: pytest.MonkeyPatch) -> None:
    # From the documentation of Svix, whose scheme Replicate uses.
    headers = {
        "svix": "",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    set_time(clock, 1614265330)
    verify_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", headers, b'{"test": 2432232314}')


@pytest.mark.parametrize("seconds", [0, 299, -299])
def test_verify_signature_within_five_minutes_passes(clock: pytest.MonkeyPatch, seconds: int) -> None:
    set_time(clock, NOW.timestamp() + seconds)
    verify_signature(WEBHOOK_SECRET, signed_headers(BODY, WEBHOOK_SECRET, NOW), BODY)


def test_verify_signature_with_headers_of_aiohttp_passes() -> None:
    verify_signature(WEBHOOK_SECRET, CIMultiDict(signed_headers(BODY, WEBHOOK_SECRET, NOW)), BODY)


def test_verify_signature_with_one_valid_signature_among_several_passes() -> None:
    headers = signed_headers(BODY, WEBHOOK_SECRET, NOW)
    headers["Webhook-Signature"] = f"v2,AAAA v1,!!! v1,AAAA {headers['Webhook-Signature']}"
    verify_signature(WEBHOOK_SECRET, headers, BODY)


@pytest.mark.parametrize("seconds", [301, -301, 86_400])
def test_verify_signature_at_another_time_raises(clock: pytest.MonkeyPatch, seconds: int) -> None:
    set_time(clock, NOW.timestamp() + seconds)
    with pytest.raises(InvalidWebhook, match="timestamp"):
        verify_signature(WEBHOOK_SECRET, signed_headers(BODY, WEBHOOK_SECRET, NOW), BODY)


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": "msg_other"},
        {"Webhook-Timestamp": str(int(NOW.timestamp()) + 1)},
        {"Webhook-Timestamp": "soon"},
        {"Webhook-Signature": "v1,AAAA"},
        {"Webhook-Signature": "v1,"},
        {"Webhook-Signature": "v1,A"},
        {"Webhook-Signature": "v1,é"},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "no signature"},
    ],
)
def test_verify_signature_with_a_changed_header_raises(change: dict[str, str]) -> None:
    headers = signed_headers(BODY, WEBHOOK_SECRET, NOW) | change
    with pytest.raises(InvalidWebhook):
        verify_signature(WEBHOOK_SECRET, headers, BODY)


@pytest.mark.parametrize("body", [BODY + b" ", b"", b"\xff"])
def test_verify_signature_of_another_body_raises(body: bytes) -> None:
    with pytest.raises(InvalidWebhook):
        verify_signature(WEBHOOK_SECRET, signed_headers(BODY, WEBHOOK_SECRET, NOW), body)


@pytest.mark.parametrize(
    "secret", [f"whsec_{base64.b64encode(b'another').decode()}", "", "whsec_", "whsec_!", "whsec_a_b", "secret"]
)
def test_verify_signature_with_another_secret_raises_without_quoting_it(secret: str) -> None:
    with pytest.raises(InvalidWebhook) as caught:
        verify_signature(secret, signed_headers(BODY, WEBHOOK_SECRET, NOW), BODY)
    assert len(secret) <= len("whsec_!") or secret not in str(caught.value)


def test_verify_signature_with_an_empty_key_raises_even_if_the_signature_matches() -> None:
    with pytest.raises(InvalidWebhook):
        verify_signature("whsec_", signed_headers(BODY, "whsec_", NOW), BODY)


@pytest.mark.parametrize("missing", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_verify_signature_without_a_header_raises(missing: str) -> None:
    headers = signed_headers(BODY, WEBHOOK_SECRET, NOW)
    del headers[missing]
    with pytest.raises(InvalidWebhook, match="Missing"):
        verify_signature(WEBHOOK_SECRET, headers, BODY)
    with pytest.raises(InvalidWebhook, match="Missing"):
        verify_signature(WEBHOOK_SECRET, {}, BODY)


def test_parse_prediction_id_returns_the_id() -> None:
    assert parse_prediction_id(BODY) == "abc"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 3}', b'{"id": ""}', b"\xff"])
def test_parse_prediction_id_without_an_id_raises(body: bytes) -> None:
    with pytest.raises(InvalidWebhook):
        parse_prediction_id(body)
