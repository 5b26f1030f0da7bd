"""The keys of a production server: which events it accepts, and how calls and API requests are signed."""

import hmac
from dataclasses import dataclass

from inngest._internal import net, transforms


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """Keys of a server as ``inngest start`` takes them.

    Attributes:
        event_keys: Events are accepted only at ``/e/<key>`` for one of these.
        signing_key: Hexadecimal, with or without the prefix ``signkey-…-``.
    """

    event_keys: tuple[str, ...]
    signing_key: str

    def sign(self, body: bytes) -> str:
        """Return the header ``x-inngest-signature`` for a request with this JSON body."""
        return str(net.sign_request(body, self.signing_key))

    def is_authorized(self, authorization: str) -> bool:
        """Whether an ``Authorization`` header has the signing key as its bearer token, plain or hashed."""
        kind, _, token = authorization.partition(" ")
        presented = transforms.remove_signing_key_prefix(token).encode()
        plain = transforms.remove_signing_key_prefix(self.signing_key)
        known = (plain, transforms.hash_signing_key(plain))
        return kind.lower() == "bearer" and any(hmac.compare_digest(presented, key.encode()) for key in known)
