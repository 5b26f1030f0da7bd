"""Monthly subscriptions in Telegram Stars."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from storage.pool import Executor

# The first payment starts the subscription and each later one extends it. A late or repeated one never shortens it.
_RENEW = """
INSERT INTO subscriptions (id, user_id, bot_name, tier, charge_id, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE
    SET expires_at = greatest(subscriptions.expires_at, EXCLUDED.expires_at), cancelled = false"""
_DISCOUNT = """
UPDATE users SET discount = $2, discount_until = greatest(discount_until, $3) WHERE id = $1"""
_CURRENT = """
SELECT * FROM subscriptions WHERE user_id = $1 AND expires_at > now() ORDER BY expires_at DESC LIMIT 1"""
_CANCEL = """
UPDATE subscriptions SET cancelled = $3 WHERE id = $1 AND user_id = $2 AND cancelled <> $3 AND expires_at > now()
RETURNING true"""
_EXPIRING = """
SELECT * FROM subscriptions
WHERE expires_at BETWEEN now() AND now() + make_interval(secs => $1)
  AND reminded_for IS DISTINCT FROM expires_at ORDER BY expires_at LIMIT $2"""
_END_REFUNDED = """
WITH ended AS (
    UPDATE subscriptions SET cancelled = true, expires_at = now()
    WHERE id = (SELECT topup_id FROM payments WHERE id = $1) RETURNING user_id, charge_id
), undone AS (UPDATE users u SET discount_until = now() FROM ended WHERE u.id = ended.user_id)
SELECT charge_id FROM ended"""
_MARK_REMINDED = """
UPDATE subscriptions SET reminded_for = expires_at
WHERE id = $1 AND reminded_for IS DISTINCT FROM expires_at RETURNING true"""


@dataclass(frozen=True)
class Subscription:
    """A user's subscription.

    Attributes:
        charge_id: The charge id of its first payment, by which Telegram identifies the subscription.
        cancelled: Whether it ends at `expires_at` instead of being renewed.
    """

    id: UUID
    user_id: int
    bot_name: str
    tier: str
    charge_id: str
    expires_at: datetime
    cancelled: bool


def _subscription(row: asyncpg.Record | None) -> Subscription | None:
    if row is None:
        return None
    return Subscription(**{name: row[name] for name in Subscription.__dataclass_fields__})


async def renew_subscription(
    db: Executor,
    subscription_id: UUID,
    *,
    user_id: int,
    bot_name: str,
    tier: str,
    charge_id: str,
    expires_at: datetime,
    discount: int,
) -> None:
    """Start the subscription, or extend it.

    Args:
        db: The pool or a connection.
        subscription_id: The id of the topup that started it.
        user_id: The subscriber.
        bot_name: The bot that sold it.
        tier: Its tier.
        charge_id: The charge id of this payment. Only the first one is stored.
        expires_at: When it ends, unless it already ends later.
        discount: Percent off every order until then.
    """
    await db.execute(_RENEW, subscription_id, user_id, bot_name, tier, charge_id, expires_at)
    await db.execute(_DISCOUNT, user_id, discount, expires_at)


async def current_subscription(db: Executor, user_id: int) -> Subscription | None:
    """The user's subscription that has not expired, even if it is cancelled."""
    return _subscription(await db.fetchrow(_CURRENT, user_id))


async def set_cancelled(db: Executor, subscription_id: UUID, user_id: int, *, cancelled: bool) -> bool:
    """Cancel or resume a subscription. False if nothing changes, it has expired, or it belongs to another user."""
    return bool(await db.fetchval(_CANCEL, subscription_id, user_id, cancelled))


async def end_refunded_subscription(db: Executor, charge_id: str) -> str | None:
    """End the subscription that a refunded payment was for, and its discount.

    Returns:
        The charge id by which Telegram identifies the subscription, or None if the payment was not for one.
    """
    first: str | None = await db.fetchval(_END_REFUNDED, charge_id)
    return first


async def expiring_subscriptions(db: Executor, *, seconds: float, limit: int) -> list[Subscription]:
    """Subscriptions that end or renew within `seconds` and whose users have not been reminded, soonest first."""
    return [s for row in await db.fetch(_EXPIRING, seconds, limit) if (s := _subscription(row))]


async def mark_reminded(db: Executor, subscription_id: UUID) -> bool:
    """Record that the user is reminded of the end or renewal. False if that is already recorded."""
    return bool(await db.fetchval(_MARK_REMINDED, subscription_id))
