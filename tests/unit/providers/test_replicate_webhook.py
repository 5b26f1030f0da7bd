"""Replicate's webhooks are believed only with their signature, and only now."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict

from providers.replicate.webhook import InvalidWebhook, parse_prediction_id, verify_signature
from tests.support.fake_providers.replicate_trainings import WEBHOOK_SECRET, signed_headers

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BODY = json.dumps({"id": "abc", "status": "succeeded"}).encode()


def test_a_known_example() -> None:
    # From Svix's documentation, whose scheme Replicate's is: another implementation's numbers.
    headers = {
        "svix": "",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    verify_signature(secret, headers, b'{"test": 2432232314}', datetime.fromtimestamp(1614265330, UTC))


@pytest.mark.parametrize("late", [0, 299, -299])
def test_a_good_one(late: int) -> None:
    verify_signature(
        WEBHOOK_SECRET, signed_headers(BODY, WEBHOOK_SECRET, NOW), BODY, NOW + timedelta(seconds=late)
    )
    verify_signature(WEBHOOK_SECRET, CIMultiDict(signed_headers(BODY, WEBHOOK_SECRET, NOW)), BODY, NOW)


def test_one_good_signature_among_several_is_enough() -> None:
    headers = signed_headers(BODY, WEBHOOK_SECRET, NOW)
    headers["Webhook-Signature"] = f"v2,AAAA v1,!!! v1,AAAA {headers['Webhook-Signature']}"
    verify_signature(WEBHOOK_SECRET, headers, BODY, NOW)


@pytest.mark.parametrize("late", [301, -301, 86_400])
def test_one_of_another_time(late: int) -> None:
    with pytest.raises(InvalidWebhook, match="timestamp"):
        verify_signature(
            WEBHOOK_SECRET, signed_headers(BODY, WEBHOOK_SECRET, NOW), BODY, NOW + timedelta(seconds=late)
        )


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Id": "msg_other"},
        {"Webhook-Timestamp": str(int(NOW.timestamp()) + 1)},
        {"Webhook-Timestamp": "soon"},
        {"Webhook-Signature": "v1,AAAA"},
        {"Webhook-Signature": "v1,"},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "no signature"},
    ],
)
def test_a_changed_header(change: dict[str, str]) -> None:
    headers = signed_headers(BODY, WEBHOOK_SECRET, NOW) | change
    with pytest.raises(InvalidWebhook):
        verify_signature(WEBHOOK_SECRET, headers, BODY, NOW)


def test_a_changed_body_another_secret_and_missing_headers() -> None:
    headers = signed_headers(BODY, WEBHOOK_SECRET, NOW)
    other = f"whsec_{base64.b64encode(b'another').decode()}"
    for secret, sent, body in (
        (WEBHOOK_SECRET, headers, BODY + b" "),
        (other, headers, BODY),
        ("", headers, BODY),
        ("whsec_", headers, BODY),
        (WEBHOOK_SECRET, {}, BODY),
        *((WEBHOOK_SECRET, {k: v for k, v in headers.items() if k != gone}, BODY) for gone in list(headers)[1:]),
    ):
        with pytest.raises(InvalidWebhook):
            verify_signature(secret, sent, body, NOW)


def test_what_it_speaks_of() -> None:
    assert parse_prediction_id(BODY) == "abc"
    for body in (b"", b"[]", b"{}", b'{"id": 3}', b'{"id": ""}', b"\xff"):
        with pytest.raises(InvalidWebhook):
            parse_prediction_id(body)
