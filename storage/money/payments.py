"""Payments in Stars that we have credited."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from uuid import UUID

from storage.pool import Executor

_ADD = """
INSERT INTO payments (id, topup_id, user_id, bot_name, stars, recurring) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING"""
_GET = "SELECT * FROM payments WHERE id = $1"
_OF_USER = "SELECT * FROM payments WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2"
_LATEST = "SELECT * FROM payments ORDER BY created_at DESC LIMIT $1"
_BY_DIGEST = "SELECT * FROM payments WHERE user_id = $1 AND md5(id) = $2"
_REFUNDED = "UPDATE payments SET refunded_at = now() WHERE id = $1 AND refunded_at IS NULL"

# Compares Telegram's list with ours. A payment newer than `$5` may be only in ours, because it arrived while Telegram's
# list was being read.
_COMPARE = """
SELECT * FROM (
    SELECT coalesce(l.id, c.id) AS id, l.stars AS listed_stars, c.stars AS recorded_stars,
           coalesce(l.refunded, false) AS refund_listed,
           c.refunded_at IS NOT NULL
               AND (c.refunded_at < $5 OR coalesce(l.refunded, true)) AS refund_recorded
    FROM unnest($1::text[], $2::integer[], $3::boolean[]) AS l (id, stars, refunded)
    FULL JOIN payments c ON c.id = l.id
    WHERE l.id IS NOT NULL OR (c.bot_name = $4 AND c.created_at < $5)
) compared
WHERE listed_stars IS DISTINCT FROM recorded_stars OR refund_listed <> refund_recorded ORDER BY id"""


@dataclass(frozen=True)
class Payment:
    """One payment in Stars. `id` is Telegram's charge id. `topup_id` is None if the invoice's payload was not ours."""

    id: str
    topup_id: UUID | None
    user_id: int
    bot_name: str
    stars: int
    recurring: bool
    created_at: datetime
    refunded_at: datetime | None


@dataclass(frozen=True)
class TelegramPayment:
    """A payment as listed by Telegram. `stars` is what was paid, even if it was refunded."""

    id: str
    stars: int
    refunded: bool


@dataclass(frozen=True)
class PaymentMismatch:
    """A payment that differs between Telegram's list and ours. Stars are None for a list that does not have it."""

    id: str
    listed_stars: int | None
    recorded_stars: int | None
    refund_listed: bool
    refund_recorded: bool


async def add_payment(
    db: Executor,
    charge_id: str,
    *,
    topup_id: UUID | None,
    user_id: int,
    bot_name: str,
    stars: int,
    recurring: bool,
) -> None:
    """Record a payment, once.

    Args:
        db: The pool or a connection.
        charge_id: Telegram's charge id.
        topup_id: The topup that was paid; None if the invoice's payload was not ours.
        user_id: Who paid.
        bot_name: The bot that received it.
        stars: How many Stars were paid.
        recurring: Whether Telegram renewed a subscription by itself.
    """
    await db.execute(_ADD, charge_id, topup_id, user_id, bot_name, stars, recurring)


async def get_payment(db: Executor, charge_id: str) -> Payment | None:
    """The payment with this charge id, if there is one."""
    row = await db.fetchrow(_GET, charge_id)
    return None if row is None else Payment(**dict(row))


async def user_payments(db: Executor, user_id: int, *, limit: int) -> Sequence[Payment]:
    """A user's payments, newest first."""
    return [Payment(**dict(row)) for row in await db.fetch(_OF_USER, user_id, limit)]


async def latest_payments(db: Executor, *, limit: int) -> Sequence[Payment]:
    """All users' payments, newest first."""
    return [Payment(**dict(row)) for row in await db.fetch(_LATEST, limit)]


def payment_digest(charge_id: str) -> str:
    """A digest of 32 characters for a charge id, which is too long for a button's data."""
    return md5(charge_id.encode(), usedforsecurity=False).hexdigest()


async def get_payment_by_digest(db: Executor, user_id: int, digest: str) -> Payment | None:
    """The user's payment whose charge id has this `payment_digest`, if there is one."""
    row = await db.fetchrow(_BY_DIGEST, user_id, digest)
    return None if row is None else Payment(**dict(row))


async def compare_payments(
    db: Executor, listed: Iterable[TelegramPayment], *, bot_name: str, until: datetime
) -> list[PaymentMismatch]:
    """Compare Telegram's list of a bot's payments with ours.

    Args:
        db: The pool or a connection.
        listed: Telegram's list.
        bot_name: The bot that received the payments.
        until: When we began to read the list. Payments recorded later may be missing from it.

    Returns:
        The payments that differ.
    """
    rows = [(each.id, each.stars, each.refunded) for each in listed]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return [PaymentMismatch(**dict(row)) for row in await db.fetch(_COMPARE, *columns, bot_name, until)]


async def mark_refunded(db: Executor, charge_id: str) -> None:
    """Record that Telegram has returned the Stars."""
    await db.execute(_REFUNDED, charge_id)
