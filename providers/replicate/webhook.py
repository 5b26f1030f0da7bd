"""Verifies Replicate's webhooks by the signature and the timestamp in their headers.

The official client does the check, in constant time: https://replicate.com/docs/topics/webhooks/verify-webhook. Two
gaps of the client are closed here: it accepts a secret with an empty key, and some of its errors quote the secret or
text from the sender.
"""

import base64
import json
from collections.abc import Mapping
from typing import Final

from replicate.webhook import InvalidTimestampError, MissingWebhookHeaderError, Webhooks, WebhookSigningSecret

from providers.protocols import ErrorKind, ProviderError
from providers.replicate.api import ReplicateApi

_MAX_CLOCK_DIFFERENCE_SECONDS: Final = 300
"""How far a webhook's timestamp may be from our clock, in either direction."""
_SECRET_TIMEOUT_SECONDS: Final = 10.0


class InvalidWebhook(Exception):
    """The webhook is not from Replicate, or is too old. The message is for the log."""


def verify_signature(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Check that Replicate signed this body within the last five minutes.

    Args:
        secret: The account's signing secret, `whsec_…`.
        headers: The request headers; names are case-insensitive.
        body: The request body.

    Raises:
        InvalidWebhook: The signature or the timestamp is not valid.
    """
    if not _is_signing_secret(secret):
        raise InvalidWebhook("the signing secret must look like whsec_…")
    try:
        Webhooks.validate(
            headers=dict(headers),
            body=body.decode(),
            secret=WebhookSigningSecret(key=secret),
            tolerance=_MAX_CLOCK_DIFFERENCE_SECONDS,
        )
    except (MissingWebhookHeaderError, InvalidTimestampError) as error:
        raise InvalidWebhook(str(error)) from None
    except ValueError as error:  # its other errors, and those of int() and Base64 for malformed headers
        raise InvalidWebhook(f"invalid signature ({type(error).__name__})") from None


def parse_prediction_id(body: bytes) -> str:
    """Return the id of the prediction or training in a verified webhook. Raises InvalidWebhook."""
    try:
        content = json.loads(body)
    except ValueError:
        raise InvalidWebhook("body is not JSON") from None
    prediction_id = content.get("id") if isinstance(content, dict) else None
    if not isinstance(prediction_id, str) or not prediction_id:
        raise InvalidWebhook("body has no id")
    return prediction_id


async def fetch_signing_secret(api_token: str, base_url: str | None) -> str:
    """Fetch the account's signing secret, which changes only when its owner rotates it.

    Args:
        api_token: The account's API token.
        base_url: The URL of the API; None for the official one.

    Returns:
        The secret, `whsec_…`.

    Raises:
        ProviderError: Replicate did not answer, or the answer contains no valid secret.
    """
    api = ReplicateApi(api_token, base_url, timeout=_SECRET_TIMEOUT_SECONDS)
    try:
        async with api.request() as client:
            secret = str((await client.webhooks.default.async_secret()).key)
    finally:
        await api.close()
    if not _is_signing_secret(secret):
        raise ProviderError(ErrorKind.FAILED, "Replicate: signing secret is not readable")
    return secret


def _is_signing_secret(secret: str) -> bool:
    """Whether it is `whsec_` followed by a Base64 key."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return secret.startswith("whsec_") and bool(key)
