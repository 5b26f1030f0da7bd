"""One-time links to the dashboard. Only a hash is stored: the link itself exists only in the admin's chat."""

from dataclasses import dataclass

from storage.pool import Executor

# Adding a link deletes those that expired more than a day ago. Until then, the page can say that a link has expired.
_ADD = """
WITH deleted AS (DELETE FROM dashboard_links WHERE expires_at < now() - interval '1 day')
INSERT INTO dashboard_links (token_hash, admin_id, expires_at)
VALUES ($1, $2, now() + make_interval(secs => $3))"""

_GET = """
SELECT admin_id, used_at IS NOT NULL AS used, expires_at <= now() AS expired
FROM dashboard_links WHERE token_hash = $1"""

# One conditional statement: if two browsers open the same link at once, only one is logged in.
_USE = """
UPDATE dashboard_links SET used_at = now()
WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()
RETURNING admin_id"""


@dataclass(frozen=True)
class Link:
    """A link and whether it can still be used."""

    admin_id: int
    used: bool
    expired: bool


async def add_link(db: Executor, token_hash: bytes, admin_id: int, *, seconds: float) -> None:
    """Store a link for this admin that can be used once within `seconds`."""
    await db.execute(_ADD, token_hash, admin_id, seconds)


async def get_link(db: Executor, token_hash: bytes) -> Link | None:
    """The link with this hash, without using it."""
    row = await db.fetchrow(_GET, token_hash)
    return None if row is None else Link(**dict(row))


async def use_link(db: Executor, token_hash: bytes) -> int | None:
    """Use up the link. Returns its admin, or None if it was used, has expired or does not exist."""
    admin_id: int | None = await db.fetchval(_USE, token_hash)
    return admin_id
