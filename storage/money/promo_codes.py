"""Promo codes, and who has redeemed which."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Connection, Executor

_ADD = """
INSERT INTO promo_codes (code, credits, uses, until, created_by) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (code) DO NOTHING RETURNING true"""
_LATEST = """
SELECT code, credits, uses, used, until, until > now() AS valid FROM promo_codes
ORDER BY created_at DESC LIMIT $1"""

# The lock makes those who redeem the same code wait for each other, so that `used` is never read too early.
_LOCK = """
SELECT code, credits, uses, used, until, until > now() AS valid FROM promo_codes WHERE code = $1 FOR UPDATE"""
_REDEEM = """
WITH redeemed AS (
    INSERT INTO promo_redemptions (code, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING code
)
UPDATE promo_codes p SET used = used + 1 FROM redeemed WHERE p.code = redeemed.code AND p.used < p.uses
RETURNING true"""
_HAS_REDEEMED = "SELECT EXISTS (SELECT FROM promo_redemptions WHERE code = $1 AND user_id = $2)"


@dataclass(frozen=True)
class PromoCode:
    """`credits` Stars for each of `uses` people until `until`; `valid` says that this is still to come."""

    code: str
    credits: int
    max_uses: int
    use_count: int
    expires_at: datetime
    valid: bool


async def add_promo(
    db: Executor, code: str, *, credits: int, max_uses: int, expires_at: datetime, created_by: int
) -> bool:
    """A new code for `stars` credits a person. False where there is such a code."""
    return bool(await db.fetchval(_ADD, code, credits, max_uses, expires_at, created_by))


async def latest_promos(db: Executor, *, limit: int) -> list[PromoCode]:
    return [PromoCode(**dict(row)) for row in await db.fetch(_LATEST, limit)]


async def lock_promo(connection: Connection, code: str) -> PromoCode | None:
    """The code as it stands, and nobody else's until this transaction ends. None where there is none."""
    row = await connection.fetchrow(_LOCK, code)
    return None if row is None else PromoCode(**dict(row))


async def has_redeemed(db: Executor, code: str, user_id: int) -> bool:
    return bool(await db.fetchval(_HAS_REDEEMED, code, user_id))


async def redeem_promo(connection: Connection, code: str, user_id: int) -> bool:
    """Use the code up by one. False where the person had it before, or no use is left.

    Belongs inside the transaction that gives the credits and undoes this where it cannot.
    """
    return bool(await connection.fetchval(_REDEEM, code, user_id))
