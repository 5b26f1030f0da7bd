"""The keys of a production server: which events it accepts, and how calls and API requests are signed.

Source: ``pkg/authn/signing_key_strategy.go`` and ``pkg/execution/driver/httpdriver`` of inngest/inngest.
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

    Attributes:
        event_keys: Events are accepted only at ``/e/<key>`` for one of these.
        signing_key: Hexadecimal, with or without the prefix ``signkey-…-``.

    Raises:
        ValueError: When the signing key is not hexadecimal.
    """

    event_keys: tuple[str, ...]
    signing_key: str

    def __post_init__(self) -> None:
        bytes.fromhex(_strip_prefix(self.signing_key))

    def sign(self, body: bytes) -> str:
        """Return the header ``x-inngest-signature`` for a request: an HMAC of the time and the canonical JSON body."""
        now = int(time.time())
        canonical = jcs.canonicalize(json.loads(body)) if body else b""
        digest = hmac.new(_strip_prefix(self.signing_key).encode(), canonical + str(now).encode(), hashlib.sha256)
        return f"t={now}&s={digest.hexdigest()}"

    def is_authorized(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header has the signing key as its bearer token, plain or hashed."""
        kind, _, token = authorization.partition(" ")
        bare = _strip_prefix(self.signing_key)
        hashed = hashlib.sha256(bytes.fromhex(bare)).hexdigest()
        presented = _strip_prefix(token).encode()
        known = [hmac.compare_digest(presented, key.encode()) for key in (bare, hashed)]
        return kind.lower() == "bearer" and any(known)


def _strip_prefix(key: str) -> str:
    return _PREFIX.sub("", key)
