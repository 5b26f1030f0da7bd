"""Promo codes, and which users have redeemed them."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Connection, Executor

_ADD = """
INSERT INTO promo_codes (code, credits, max_uses, expires_at, created_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (code) DO NOTHING RETURNING true"""
_LATEST = """
SELECT code, credits, max_uses, use_count, expires_at, expires_at > now() AS valid FROM promo_codes
ORDER BY created_at DESC LIMIT $1"""

# The lock makes users who redeem the same code wait for each other, so that `use_count` is always up to date.
_LOCK = """
SELECT code, credits, max_uses, use_count, expires_at, expires_at > now() AS valid
FROM promo_codes WHERE code = $1 FOR UPDATE"""
_REDEEM = """
WITH redeemed AS (
    INSERT INTO promo_redemptions (code, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING code
)
UPDATE promo_codes p SET use_count = use_count + 1
FROM redeemed WHERE p.code = redeemed.code AND p.use_count < p.max_uses
RETURNING true"""
_HAS_REDEEMED = "SELECT EXISTS (SELECT FROM promo_redemptions WHERE code = $1 AND user_id = $2)"


@dataclass(frozen=True)
class PromoCode:
    """A code that gives `credits` credits to each of at most `max_uses` users. `valid`: it has not expired."""

    code: str
    credits: int
    max_uses: int
    use_count: int
    expires_at: datetime
    valid: bool


async def add_promo(
    db: Executor, code: str, *, credits: int, max_uses: int, expires_at: datetime, created_by: int
) -> bool:
    """Create a code. The arguments are the fields of `PromoCode`, and the admin. False if the code already exists."""
    return bool(await db.fetchval(_ADD, code, credits, max_uses, expires_at, created_by))


async def latest_promos(db: Executor, *, limit: int) -> list[PromoCode]:
    """The latest codes, newest first."""
    return [PromoCode(**dict(row)) for row in await db.fetch(_LATEST, limit)]


async def lock_promo(connection: Connection, code: str) -> PromoCode | None:
    """The code, locked until this transaction ends. None if there is no such code."""
    row = await connection.fetchrow(_LOCK, code)
    return None if row is None else PromoCode(**dict(row))


async def has_redeemed(db: Executor, code: str, user_id: int) -> bool:
    """Whether the user has redeemed this code."""
    return bool(await db.fetchval(_HAS_REDEEMED, code, user_id))


async def redeem_promo(connection: Connection, code: str, user_id: int) -> bool:
    """Redeem the code for a user. False if they have already redeemed it or it has no uses left.

    Must run in the transaction that gives the credits. The caller must roll that back if this returns False.
    """
    return bool(await connection.fetchval(_REDEEM, code, user_id))
