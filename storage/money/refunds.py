"""The queue of refunds: each is requested once and retried until Telegram makes it or rejects it for good."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

# A refund that Telegram rejected for good may be requested again: the reason may no longer apply.
_REQUEST = """
INSERT INTO refunds (charge_id, requested_by) SELECT id, $2 FROM payments WHERE id = $1 AND refunded_at IS NULL
ON CONFLICT (charge_id) DO UPDATE
    SET requested_by = EXCLUDED.requested_by, requested_at = now(), attempts = 0, next_attempt_at = now(),
        done_at = NULL, error = ''
    WHERE refunds.done_at IS NOT NULL AND refunds.error <> ''
RETURNING true"""
_STATUS = "SELECT requested_by, requested_at, attempts, done_at, error FROM refunds WHERE charge_id = $1"
# The claim expires, so if this process dies, another one tries again.
_CLAIM = """
UPDATE refunds SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $1)
WHERE charge_id IN (
    SELECT charge_id FROM refunds WHERE done_at IS NULL AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING charge_id, requested_by, attempts"""
_POSTPONE = """
UPDATE refunds SET next_attempt_at = now() + make_interval(secs => $2), error = $3
WHERE charge_id = $1 AND done_at IS NULL"""
_DONE = """
UPDATE refunds SET done_at = now(), error = $2 WHERE charge_id = $1 AND done_at IS NULL RETURNING requested_by"""


@dataclass(frozen=True)
class DueRefund:
    """A refund to be made now. `requested_by` is an admin; `attempts` includes this one."""

    charge_id: str
    requested_by: int
    attempts: int


@dataclass(frozen=True)
class RefundStatus:
    """The state of a refund. If both `done_at` and `error` are set, Telegram has rejected it for good."""

    requested_by: int
    requested_at: datetime
    attempts: int
    done_at: datetime | None
    error: str

    @property
    def refused(self) -> bool:
        """Whether Telegram has rejected it for good."""
        return self.done_at is not None and self.error != ""


async def request_refund(db: Executor, charge_id: str, *, requested_by: int) -> bool:
    """Queue a refund. False if it is already requested, or the payment is unknown or already refunded."""
    return bool(await db.fetchval(_REQUEST, charge_id, requested_by))


async def get_refund(db: Executor, charge_id: str) -> RefundStatus | None:
    """The state of the refund of this payment. None if nobody requested one."""
    row = await db.fetchrow(_STATUS, charge_id)
    return None if row is None else RefundStatus(**dict(row))


async def claim_refunds(db: Executor, *, seconds: float, limit: int) -> list[DueRefund]:
    """Claim up to `limit` due refunds for `seconds`."""
    return [DueRefund(**dict(row)) for row in await db.fetch(_CLAIM, seconds, limit)]


async def postpone_refund(db: Executor, charge_id: str, *, seconds: float, error: str) -> None:
    """Record a failed attempt and Telegram's error. The next attempt is due in `seconds`."""
    await db.execute(_POSTPONE, charge_id, seconds, error)


async def finish_refund(db: Executor, charge_id: str, error: str = "") -> int | None:
    """Record that the refund was made or, with an `error`, that Telegram rejected it for good.

    Returns:
        The admin who requested it, or None if this was recorded before.
    """
    requested_by: int | None = await db.fetchval(_DONE, charge_id, error)
    return requested_by
