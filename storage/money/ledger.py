"""Movements of credits in the ledger. Database constraints keep them balanced and every balance at zero or above."""

from dataclasses import astuple, dataclass
from uuid import UUID

import asyncpg

from storage.pool import Executor

# One statement per movement: the transaction and both postings, or nothing when the key already exists.
_TRANSFER = """
WITH t AS (
    INSERT INTO ledger_transactions (key, kind, user_id, job_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT (key) DO NOTHING RETURNING id
), p AS (
    INSERT INTO ledger_postings (transaction_id, account, user_id, amount)
    SELECT t.id, side.account,
           CASE WHEN side.account IN ('available', 'held', 'debt') THEN $3::bigint END, side.amount
    FROM t, (VALUES ($5::text, -$7::bigint), ($6::text, $7::bigint)) AS side (account, amount)
    RETURNING 1
)
SELECT count(*) FROM p"""

# Takes what is available and records the rest as debt, in one statement that locks the user's balance.
_CLAW_BACK = """
WITH b AS (SELECT least(available, $3::bigint) AS taken FROM balances WHERE user_id = $2 FOR UPDATE),
t AS (
    INSERT INTO ledger_transactions (key, kind, user_id) VALUES ($1, 'refund', $2)
    ON CONFLICT (key) DO NOTHING RETURNING id
), p AS (
    INSERT INTO ledger_postings (transaction_id, account, user_id, amount)
    SELECT t.id, side.account, CASE WHEN side.account <> $4 THEN $2::bigint END, side.amount
    FROM t, b, LATERAL (VALUES
        ('available', -b.taken), ('debt', b.taken - $3::bigint), ($4, $3::bigint)) AS side (account, amount)
    WHERE side.amount <> 0
)
SELECT $3::bigint - b.taken FROM b, t"""

_SETTLE_DEBT = """
WITH b AS (SELECT least(available, debt) AS paid FROM balances WHERE user_id = $2 FOR UPDATE),
t AS (
    INSERT INTO ledger_transactions (key, kind, user_id) SELECT $1, 'debt', $2 FROM b WHERE b.paid > 0
    ON CONFLICT (key) DO NOTHING RETURNING id
), p AS (
    INSERT INTO ledger_postings (transaction_id, account, user_id, amount)
    SELECT t.id, side.account, $2::bigint, side.amount
    FROM t, b, LATERAL (VALUES ('available', -b.paid), ('debt', b.paid)) AS side (account, amount)
)
SELECT b.paid FROM b, t"""

_BALANCE = "SELECT available, held, debt FROM balances WHERE user_id = $1"

_CHECK = """
SELECT (SELECT coalesce(sum(amount), 0) FROM ledger_postings)::bigint AS total,
       (SELECT count(*) FROM balances b WHERE (b.available, b.held, b.debt) <> (
            SELECT coalesce(sum(amount) FILTER (WHERE account = 'available'), 0),
                   coalesce(sum(amount) FILTER (WHERE account = 'held'), 0),
                   coalesce(-sum(amount) FILTER (WHERE account = 'debt'), 0)
            FROM ledger_postings p WHERE p.user_id = b.user_id)) AS wrong_balances,
       (SELECT count(*) FROM jobs j WHERE j.price > 0
            AND (j.state IN ('succeeded', 'failed', 'cancelled')) <> EXISTS (
                SELECT FROM ledger_transactions t WHERE t.key = 'settle:' || j.id)) AS unsettled_jobs,
       (SELECT count(*) FROM payments c FULL JOIN (
            SELECT substr(key, 8) AS id FROM ledger_transactions WHERE starts_with(key, 'charge:')) t
            ON t.id = c.id
        WHERE c.id IS NULL OR t.id IS NULL) AS uncredited_payments,
       (SELECT count(*) FROM payments c WHERE c.refunded_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM ledger_transactions t WHERE t.key = 'refund:' || c.id)) AS unposted_refunds"""

_CREDITS_RECEIVED = """
SELECT p.amount FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id
WHERE t.key = $1 AND p.user_id = $2 AND p.account = 'available'"""


class BalanceTooLow(Exception):
    """The transfer would take the user's available credits below zero."""


@dataclass(frozen=True)
class Balance:
    """A user's credits: those they can spend, those held for open orders, and those they owe after a refund."""

    available: int
    held: int
    debt: int = 0


@dataclass(frozen=True)
class LedgerCheck:
    """The result of checking the ledger. Every value is 0 if it is consistent.

    Attributes:
        total: Sum of all postings, in credits.
        wrong_balances: Users whose balance differs from their postings.
        unsettled_jobs: Ended orders without a capture or release, and open orders with one.
        uncredited_payments: Payments without a ledger transaction, and the other way round.
        unposted_refunds: Refunded payments whose credits were not taken back.
    """

    total: int
    wrong_balances: int
    unsettled_jobs: int
    uncredited_payments: int
    unposted_refunds: int

    @property
    def is_consistent(self) -> bool:
        """Whether nothing is wrong."""
        return not any(astuple(self))


async def transfer(
    db: Executor,
    *,
    key: str,
    kind: str,
    user_id: int,
    source: str,
    target: str,
    amount: int,
    job_id: UUID | None = None,
) -> bool:
    """Move credits between two accounts, the user's or our own.

    Args:
        db: The pool or a connection.
        key: Makes the transfer idempotent.
        kind: Its kind in `ledger_transactions`.
        user_id: The user whose credits they are.
        source: The account that the credits leave.
        target: The account that they enter.
        amount: Credits, above zero.
        job_id: The order that they are for, if any.

    Returns:
        False if a transfer with this key was made before.

    Raises:
        BalanceTooLow: The user has too few credits. The surrounding transaction is aborted.
    """
    try:
        posted = await db.fetchval(_TRANSFER, key, kind, user_id, job_id, source, target, amount)
    except asyncpg.CheckViolationError as error:
        if error.constraint_name in ("available_not_negative", "held_not_negative"):
            raise BalanceTooLow(key) from error
        raise
    return bool(posted)


async def claw_back(db: Executor, key: str, user_id: int, credits: int, *, account: str = "stars") -> int | None:
    """Take credits back from a user. What is not available becomes a debt.

    Args:
        db: The pool or a connection.
        key: Makes the transaction idempotent.
        user_id: The user.
        credits: How many credits to take back.
        account: Our account that they came from.

    Returns:
        How many of them the user owes now, or None if this key was used before.
    """
    owed: int | None = await db.fetchval(_CLAW_BACK, key, user_id, credits, account)
    return owed


async def credits_received(db: Executor, key: str, user_id: int) -> int:
    """How many credits the transaction with this key gave the user."""
    return int(await db.fetchval(_CREDITS_RECEIVED, key, user_id) or 0)


async def settle_debt(db: Executor, key: str, user_id: int) -> int:
    """Pay as much of the debt as the user has credits for. Returns the credits paid."""
    return int(await db.fetchval(_SETTLE_DEBT, key, user_id) or 0)


async def get_balance(db: Executor, user_id: int) -> Balance:
    """A user's balance; zeros for an unknown user."""
    row = await db.fetchrow(_BALANCE, user_id)
    return Balance(0, 0) if row is None else Balance(row["available"], row["held"], row["debt"])


async def check_ledger(db: Executor) -> LedgerCheck:
    """Check the ledger. This reads all of it.

    In a consistent ledger, postings sum to zero, balances equal postings, all ended orders and no others are settled,
    every payment is credited, and the credits of every refund are taken back.
    """
    row = await db.fetchrow(_CHECK)
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return LedgerCheck(**dict(row))
