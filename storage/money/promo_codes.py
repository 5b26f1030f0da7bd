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

# The lock makes users who redeem the same code wait for each other, so that `use_count` is never read too early.
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
    """A code that gives each of at most `max_uses` users `credits` credits. `valid`: it has not expired yet."""

    code: str
    credits: int
    max_uses: int
    use_count: int
    expires_at: datetime
    valid: bool


async def add_promo(
    db: Executor, code: str, *, credits: int, max_uses: int, expires_at: datetime, created_by: int
) -> bool:
    """Create a code that gives `credits` credits to each user. False when the code already exists."""
    return bool(await db.fetchval(_ADD, code, credits, max_uses, expires_at, created_by))


async def latest_promos(db: Executor, *, limit: int) -> list[PromoCode]:
    """The newest codes first."""
    return [PromoCode(**dict(row)) for row in await db.fetch(_LATEST, limit)]


async def lock_promo(connection: Connection, code: str) -> PromoCode | None:
    """The code, locked until this transaction ends. None when there is no such code."""
    row = await connection.fetchrow(_LOCK, code)
    return None if row is None else PromoCode(**dict(row))


async def has_redeemed(db: Executor, code: str, user_id: int) -> bool:
    """Whether the user has redeemed this code."""
    return bool(await db.fetchval(_HAS_REDEEMED, code, user_id))


async def redeem_promo(connection: Connection, code: str, user_id: int) -> bool:
    """Use the code once. False when the user has already redeemed it, or all its uses are taken.

    Must run inside the transaction that gives the credits, which rolls this back if it cannot.
    """
    return bool(await connection.fetchval(_REDEEM, code, user_id))
