"""Replicate's webhooks: who really sent one, by the signature and the time in its headers.

Source: https://replicate.com/docs/topics/webhooks/verify-webhook. What is signed is
`<webhook-id>.<webhook-timestamp>.<body>`, by HMAC-SHA256 with the part of the secret after `whsec_`,
which is Base64; the header holds one or more `v1,<Base64>` with spaces between.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from providers.protocols import ErrorKind, ProviderError
from providers.replicate.api import ReplicateApi

MAX_CLOCK_DIFFERENCE = timedelta(minutes=5)
"""How far a webhook's time may be from ours, either way."""

SECRET_TIMEOUT = 10.0
"""Seconds for asking for the secret."""


class InvalidWebhook(Exception):
    """A webhook that is not Replicate's, or not of now. The text is for the log."""


def verify_signature(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raise WebhookRefused unless Replicate signed this very body within five minutes of `now`.

    `headers` are looked up as given and in lower case; aiohttp's are indifferent to case anyway.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    try:
        message, moment, signatures = (sent[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise InvalidWebhook(f"no header {error}") from None
    expected = hmac.new(
        _decode_secret(secret), b".".join((message.encode(), moment.encode(), body)), sha256
    ).digest()
    given = [_decode_base64(one.partition(",")[2]) for one in signatures.split() if one.startswith("v1,")]
    if not any(hmac.compare_digest(expected, one) for one in given):
        raise InvalidWebhook("a wrong signature")
    if not moment.isascii() or not moment.isdecimal():
        raise InvalidWebhook("a timestamp that is no number")
    if abs(now.timestamp() - int(moment)) > MAX_CLOCK_DIFFERENCE.total_seconds():
        raise InvalidWebhook("a timestamp too far from now")


def parse_prediction_id(body: bytes) -> str:
    """Which prediction or training a verified webhook speaks of. Raises WebhookRefused."""
    try:
        told = json.loads(body)
    except ValueError:
        raise InvalidWebhook("a body that is not JSON") from None
    found = told.get("id") if isinstance(told, dict) else None
    if not isinstance(found, str) or not found:
        raise InvalidWebhook("a body without an id")
    return found


async def fetch_signing_secret(api_token: str, base_url: str | None) -> str:
    """The account's signing secret, `whsec_…`; it changes only when somebody rotates it. ProviderError."""
    api = ReplicateApi(api_token, base_url, timeout=SECRET_TIMEOUT)
    try:
        async with api.request() as client:
            secret = str((await client.webhooks.default.async_secret()).key)
    finally:
        await api.close()
    try:
        _decode_secret(secret)
    except InvalidWebhook:
        raise ProviderError(ErrorKind.FAILED, "Replicate: a signing secret that cannot be read") from None
    return secret


def _decode_secret(secret: str) -> bytes:
    key = _decode_base64(secret.removeprefix("whsec_"))
    if not secret.startswith("whsec_") or not key:
        raise InvalidWebhook("the signing secret must look like whsec_…")
    return key


def _decode_base64(text: str) -> bytes:
    """Empty where the text is no Base64, which never equals a signature."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
