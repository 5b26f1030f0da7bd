"""Payments that Telegram has taken and we have credited, and the outbox of refunds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from uuid import UUID

from storage.pool import Executor

_ADD = """
INSERT INTO charges (id, topup_id, user_id, bot_name, stars, recurring) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING"""
_GET = "SELECT * FROM charges WHERE id = $1"
_OF_USER = "SELECT * FROM charges WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2"
_LATEST = "SELECT * FROM charges ORDER BY created_at DESC LIMIT $1"
_BY_DIGEST = "SELECT * FROM charges WHERE user_id = $1 AND md5(id) = $2"
_COUNT = "SELECT count(*) FROM charges WHERE user_id = $1"
_REFUNDED = "UPDATE charges SET refunded_at = now() WHERE id = $1 AND refunded_at IS NULL"

# Telegram's list against ours. What is newer than `$5` may be in ours alone: it came while the list was read.
_COMPARE = """
SELECT * FROM (
    SELECT coalesce(l.id, c.id) AS id, l.stars AS listed, c.stars AS known,
           coalesce(l.refunded, false) AS refund_listed,
           c.refunded_at IS NOT NULL AND (c.refunded_at < $5 OR coalesce(l.refunded, true)) AS refund_known
    FROM unnest($1::text[], $2::integer[], $3::boolean[]) AS l (id, stars, refunded)
    FULL JOIN charges c ON c.id = l.id
    WHERE l.id IS NOT NULL OR (c.bot_name = $4 AND c.created_at < $5)
) compared
WHERE listed IS DISTINCT FROM known OR refund_listed <> refund_known ORDER BY id"""

# One that Telegram refused for good may be asked for again: what kept it from being done may have passed.
_REQUEST = """
INSERT INTO refunds (charge_id, asked_by) SELECT id, $2 FROM charges WHERE id = $1 AND refunded_at IS NULL
ON CONFLICT (charge_id) DO UPDATE
    SET asked_by = EXCLUDED.asked_by, asked_at = now(), attempts = 0, next_at = now(), done_at = NULL, error = ''
    WHERE refunds.done_at IS NOT NULL AND refunds.error <> ''
RETURNING true"""
_STATUS = "SELECT asked_by, asked_at, attempts, done_at, error FROM refunds WHERE charge_id = $1"
# Taken for a while: should this process die, another tries again.
_CLAIM = """
UPDATE refunds SET attempts = attempts + 1, next_at = now() + make_interval(secs => $1)
WHERE charge_id IN (
    SELECT charge_id FROM refunds WHERE done_at IS NULL AND next_at <= now()
    ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING charge_id, asked_by, attempts"""
_POSTPONE = """
UPDATE refunds SET next_at = now() + make_interval(secs => $2), error = $3
WHERE charge_id = $1 AND done_at IS NULL"""
_DONE = (
    "UPDATE refunds SET done_at = now(), error = $2 WHERE charge_id = $1 AND done_at IS NULL RETURNING asked_by"
)


@dataclass(frozen=True)
class Payment:
    """One payment in Telegram Stars. `topup_id` is None where its payload was not ours."""

    id: str
    topup_id: UUID | None
    user_id: int
    bot_name: str
    stars: int
    recurring: bool
    created_at: datetime
    refunded_at: datetime | None


@dataclass(frozen=True)
class DueRefund:
    """A refund that an admin asked for, and how often Telegram was asked."""

    charge_id: str
    requested_by: int
    attempts: int


@dataclass(frozen=True)
class RefundStatus:
    """How far a refund is. `done_at` with an `error`: Telegram refused it for good."""

    requested_by: int
    requested_at: datetime
    attempts: int
    done_at: datetime | None
    error: str

    @property
    def refused(self) -> bool:
        return self.done_at is not None and self.error != ""


@dataclass(frozen=True)
class TelegramPayment:
    """A payment as Telegram lists it."""

    id: str
    stars: int
    refunded: bool


@dataclass(frozen=True)
class PaymentMismatch:
    """A payment of which Telegram's list and ours differ: whole Stars, None where it is missing altogether."""

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
    await db.execute(_ADD, charge_id, topup_id, user_id, bot_name, stars, recurring)


async def get_payment(db: Executor, charge_id: str) -> Payment | None:
    row = await db.fetchrow(_GET, charge_id)
    return None if row is None else Payment(**dict(row))


async def user_payments(db: Executor, user_id: int, *, limit: int) -> Sequence[Payment]:
    """A person's payments, newest first."""
    return [Payment(**dict(row)) for row in await db.fetch(_OF_USER, user_id, limit)]


async def latest_payments(db: Executor, *, limit: int) -> Sequence[Payment]:
    """Everybody's payments, newest first."""
    return [Payment(**dict(row)) for row in await db.fetch(_LATEST, limit)]


def payment_digest(charge_id: str) -> str:
    """32 characters that stand for a charge where its own id is too long: in a button."""
    return md5(charge_id.encode(), usedforsecurity=False).hexdigest()


async def get_payment_by_digest(db: Executor, user_id: int, digest: str) -> Payment | None:
    row = await db.fetchrow(_BY_DIGEST, user_id, digest)
    return None if row is None else Payment(**dict(row))


async def compare_payments(
    db: Executor, listed: Iterable[TelegramPayment], *, bot_name: str, until: datetime
) -> list[PaymentMismatch]:
    """Where a bot's payments, as Telegram lists them, differ from ours of before `until`."""
    rows = [(each.id, each.stars, each.refunded) for each in listed]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return [PaymentMismatch(**dict(row)) for row in await db.fetch(_COMPARE, *columns, bot_name, until)]


async def count_charges(db: Executor, user_id: int) -> int:
    return int(await db.fetchval(_COUNT, user_id))


async def mark_refunded(db: Executor, charge_id: str) -> None:
    await db.execute(_REFUNDED, charge_id)


async def request_refund(db: Executor, charge_id: str, *, requested_by: int) -> bool:
    """Write the refund into the outbox. False where it was asked for before, or there is no such charge."""
    return bool(await db.fetchval(_REQUEST, charge_id, requested_by))


async def get_refund(db: Executor, charge_id: str) -> RefundStatus | None:
    row = await db.fetchrow(_STATUS, charge_id)
    return None if row is None else RefundStatus(**dict(row))


async def claim_refunds(db: Executor, *, seconds: float, limit: int) -> list[DueRefund]:
    """Take refunds that are due for `seconds`."""
    return [DueRefund(**dict(row)) for row in await db.fetch(_CLAIM, seconds, limit)]


async def postpone_refund(db: Executor, charge_id: str, *, seconds: float, error: str) -> None:
    await db.execute(_POSTPONE, charge_id, seconds, error)


async def finish_refund(db: Executor, charge_id: str, error: str = "") -> int | None:
    """Done, or given up with an error; who asked for it, once, and None when that was written before."""
    asked_by: int | None = await db.fetchval(_DONE, charge_id, error)
    return asked_by
