"""Access to the dashboard: one-time links, sessions, and tokens against CSRF.

Everything is signed with a key derived from the bots' tokens. So all processes use the same key without configuration,
and replacing a token ends all sessions. Every use of a session checks that its owner is still an admin, so removing an
admin ends their sessions at once.
"""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Final, Literal

from storage.dashboard_links import add_link, get_link, use_link
from storage.pool import Pool

_LOGIN_PATH: Final = "/dashboard/enter/"
LINK_LIFETIME_SECONDS: Final = 600
SESSION_SECONDS: Final = 12 * 3600
_SECRET_BYTES: Final = 24
_SIGNATURE_LENGTH: Final = 32
"""The length of a signature in hex digits: 128 bits."""

DenialReason = Literal["forged", "used", "expired", "no_admin", "no_session"]


class AccessDenied(Exception):
    """The link or session gives no access.

    Attributes:
        reason: The reason.
    """

    def __init__(self, reason: DenialReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Session:
    """An admin's session.

    Attributes:
        admin_id: The admin's Telegram id.
        expires_at: The end of the session, as a Unix timestamp.
        cookie: The signed cookie value.
    """

    admin_id: int
    expires_at: int
    cookie: str


class DashboardAuth:
    """Creates and checks links, sessions and action tokens.

    Args:
        db: The database, which stores the links.
        admins: The admins' Telegram ids.
        secret: The input for the signing key, such as the bots' tokens. It must be the same in every process.
        url: The URL at which browsers reach this process, without a trailing slash.
    """

    def __init__(self, db: Pool, admins: frozenset[int], secret: bytes, url: str) -> None:
        self.admins = admins
        self.url = url
        self._db = db
        self._key = hmac.new(secret, b"dashboard", hashlib.sha256).digest()

    async def create_link(self, admin_id: int) -> str:
        """Create a link that logs this admin in once, within ten minutes."""
        secret = secrets.token_hex(_SECRET_BYTES)
        token = f"{secret}{self._sign('link', secret)}"
        await add_link(self._db, _hash(token), admin_id, seconds=LINK_LIFETIME_SECONDS)
        return f"{self.url}{_LOGIN_PATH}{token}"

    async def check_link(self, token: str) -> None:
        """Check a link without using it up.

        Args:
            token: The last part of the link.

        Raises:
            AccessDenied: The link is not one of ours, was used, has expired, or belongs to a former admin.
        """
        secret, signature = token[:-_SIGNATURE_LENGTH], token[-_SIGNATURE_LENGTH:]
        if not _equal(signature, self._sign("link", secret)):
            raise AccessDenied("forged")
        link = await get_link(self._db, _hash(token))
        if link is None:
            raise AccessDenied("expired")
        if link.used:
            raise AccessDenied("used")
        if link.expired:
            raise AccessDenied("expired")
        self._require_admin(link.admin_id)

    async def login(self, token: str) -> Session:
        """Use a link and start a session. Of several concurrent attempts, one succeeds.

        Args:
            token: The last part of the link.

        Raises:
            AccessDenied: See `check_link`.
        """
        await self.check_link(token)
        admin_id = await use_link(self._db, _hash(token))
        if admin_id is None:
            raise AccessDenied("used")  # another browser was faster
        return self.start_session(admin_id)

    def start_session(self, admin_id: int) -> Session:
        """Start a session of twelve hours. The caller must have authenticated the admin."""
        expires_at = int(time.time()) + SESSION_SECONDS
        signed = f"{admin_id}.{expires_at}.{secrets.token_hex(8)}"
        return Session(admin_id, expires_at, f"{signed}.{self._sign('session', signed)}")

    def read_session(self, cookie: str) -> Session:
        """Read and check the session in a cookie.

        Args:
            cookie: The cookie's value; empty if the browser sent none.

        Raises:
            AccessDenied: The cookie is missing, not one of ours, has expired, or belongs to a former admin.
        """
        if not cookie:
            raise AccessDenied("no_session")
        signed, _, signature = cookie.rpartition(".")
        if not _equal(signature, self._sign("session", signed)):
            raise AccessDenied("forged")
        admin_id, expires_at, _ = signed.split(".")
        if int(expires_at) <= time.time():
            raise AccessDenied("expired")
        self._require_admin(int(admin_id))
        return Session(int(admin_id), int(expires_at), cookie)

    def action_token(self, session: Session) -> str:
        """Return the token that state-changing requests in this session must include, against CSRF."""
        return self._sign("action", session.cookie)

    def is_valid_action_token(self, session: Session, token: str) -> bool:
        """Whether a token is the session's action token."""
        return _equal(token, self.action_token(session))

    def _require_admin(self, admin_id: int) -> None:
        if admin_id not in self.admins:
            raise AccessDenied("no_admin")

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, _to_bytes(f"{purpose}:{text}"), hashlib.sha256).hexdigest()[:_SIGNATURE_LENGTH]


def _equal(received: str, expected: str) -> bool:
    return hmac.compare_digest(_to_bytes(received), _to_bytes(expected))


def _hash(token: str) -> bytes:
    return hashlib.sha256(_to_bytes(token)).digest()


def _to_bytes(text: str) -> bytes:
    """Encode text from a header, in which bytes that are not UTF-8 arrive as lone surrogates."""
    return text.encode(errors="surrogatepass")
