"""What a production server knows of its apps: which events it takes, and how calls and questions are signed.

Truth: ``pkg/authn/signing_key_strategy.go`` and ``pkg/execution/driver/httpdriver`` of inngest/inngest.
"""

import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass

import jcs  # type: ignore[import-untyped]  # the SDK's own dependency

_PREFIX = re.compile(r"^signkey-\w+-")


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """Keys of a server as ``inngest start`` takes them.

    Args:
        event_keys: Events are taken at ``/e/<key>`` for these alone.
        signing_key: Hexadecimal, with or without ``signkey-…-`` in front.

    Raises:
        ValueError: When the signing key is not hexadecimal.
    """

    event_keys: tuple[str, ...]
    signing_key: str

    def __post_init__(self) -> None:
        bytes.fromhex(_strip_prefix(self.signing_key))

    def sign(self, body: bytes) -> str:
        """The value of ``x-inngest-signature`` for a request: over the body in canonical JSON, and the time."""
        now = int(time.time())
        canonical = jcs.canonicalize(json.loads(body)) if body else b""
        made = hmac.new(_strip_prefix(self.signing_key).encode(), canonical + str(now).encode(), hashlib.sha256)
        return f"t={now}&s={made.hexdigest()}"

    def is_authorized(self, authorization: str) -> bool:
        """Whether the value of an ``Authorization`` header names the signing key, bare or hashed."""
        kind, _, token = authorization.partition(" ")
        bare = _strip_prefix(self.signing_key)
        hashed = hashlib.sha256(bytes.fromhex(bare)).hexdigest()
        presented = _strip_prefix(token).encode()
        known = [hmac.compare_digest(presented, key.encode()) for key in (bare, hashed)]
        return kind.lower() == "bearer" and any(known)


def _strip_prefix(key: str) -> str:
    return _PREFIX.sub("", key)
