"""The ledger's moves. The database itself keeps them balanced and no balance below zero."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from uuid import UUID

import asyncpg

from storage.pool import Executor

# One statement a move: the transaction and both postings, or nothing where the key is known.
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

# Whatever is there is taken, the rest becomes a debt: one statement, under the lock of the person's balance.
_CLAW_BACK = """
WITH b AS (SELECT least(available, $3::bigint) AS there FROM balances WHERE user_id = $2 FOR UPDATE),
t AS (
    INSERT INTO ledger_transactions (key, kind, user_id) VALUES ($1, 'refund', $2)
    ON CONFLICT (key) DO NOTHING RETURNING id
), p AS (
    INSERT INTO ledger_postings (transaction_id, account, user_id, amount)
    SELECT t.id, side.account, CASE WHEN side.account <> $4 THEN $2::bigint END, side.amount
    FROM t, b, LATERAL (VALUES
        ('available', -b.there), ('debt', b.there - $3::bigint), ($4, $3::bigint)) AS side (account, amount)
    WHERE side.amount <> 0
)
SELECT $3::bigint - b.there FROM b, t"""

_SETTLE_DEBT = """
WITH b AS (SELECT least(available, debt) AS owed FROM balances WHERE user_id = $2 FOR UPDATE),
t AS (
    INSERT INTO ledger_transactions (key, kind, user_id) SELECT $1, 'debt', $2 FROM b WHERE b.owed > 0
    ON CONFLICT (key) DO NOTHING RETURNING id
), p AS (
    INSERT INTO ledger_postings (transaction_id, account, user_id, amount)
    SELECT t.id, side.account, $2::bigint, side.amount
    FROM t, b, LATERAL (VALUES ('available', -b.owed), ('debt', b.owed)) AS side (account, amount)
)
SELECT b.owed FROM b, t"""

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
       (SELECT count(*) FROM charges c FULL JOIN (
            SELECT substr(key, 8) AS id FROM ledger_transactions WHERE starts_with(key, 'charge:')) t
            ON t.id = c.id
        WHERE c.id IS NULL OR t.id IS NULL) AS uncredited_charges,
       (SELECT count(*) FROM charges c WHERE c.refunded_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM ledger_transactions t WHERE t.key = 'refund:' || c.id)) AS unposted_refunds"""

_CREDITS_RECEIVED = """
SELECT p.amount FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id
WHERE t.key = $1 AND p.user_id = $2 AND p.account = 'available'"""
_KNOWN = "SELECT key FROM ledger_transactions WHERE key = ANY($1::text[])"
_TOTALS = "SELECT account, sum(amount)::bigint AS total FROM ledger_postings GROUP BY account"


class BalanceTooLow(Exception):
    """The move would take the person's available credits below zero."""


@dataclass(frozen=True)
class Balance:
    """Whole Stars: what the person may spend, what open orders hold, and what a refund left them owing."""

    available: int
    held: int
    debt: int = 0


@dataclass(frozen=True)
class LedgerCheck:
    """`total` is 0, and the counts are 0, in a ledger that is right."""

    total: int
    wrong_balances: int
    unsettled_jobs: int
    uncredited_payments: int
    unposted_refunds: int

    @property
    def is_consistent(self) -> bool:
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
    """Move `amount` Stars between two accounts. False when this key was moved before.

    Raises NotEnoughCredits, and then the surrounding transaction is over.
    """
    try:
        moved = await db.fetchval(_TRANSFER, key, kind, user_id, job_id, source, target, amount)
    except asyncpg.CheckViolationError as error:
        if error.constraint_name in ("available_not_negative", "held_not_negative"):
            raise BalanceTooLow(key) from error
        raise
    return bool(moved)


async def claw_back(db: Executor, key: str, user_id: int, credits: int, *, account: str = "stars") -> int | None:
    """Take that many Stars back to the account they came from; how many of them are owed now, or None when this
    key was taken before."""
    owed: int | None = await db.fetchval(_CLAW_BACK, key, user_id, credits, account)
    return owed


async def credits_received(db: Executor, key: str, user_id: int) -> int:
    """How many Stars the move of this key brought the person."""
    return int(await db.fetchval(_CREDITS_RECEIVED, key, user_id) or 0)


async def settle_debt(db: Executor, key: str, user_id: int) -> int:
    """Pay as much of the debt as there is; how much that was."""
    return int(await db.fetchval(_SETTLE_DEBT, key, user_id) or 0)


async def get_balance(db: Executor, user_id: int) -> Balance:
    row = await db.fetchrow(_BALANCE, user_id)
    return Balance(0, 0) if row is None else Balance(row["available"], row["held"], row["debt"])


async def check_ledger(db: Executor) -> LedgerCheck:
    """Prove the ledger: postings sum to zero, balances equal postings, ended jobs are settled and only those,
    every charge is credited and every refund taken back."""
    row = await db.fetchrow(_CHECK)
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return LedgerCheck(**dict(row))


async def known_keys(db: Executor, keys: Sequence[str]) -> set[str]:
    """Those of the keys whose move was made."""
    return {row["key"] for row in await db.fetch(_KNOWN, list(keys))}


async def ledger_totals(db: Executor) -> dict[str, int]:
    return {row["account"]: row["total"] for row in await db.fetch(_TOTALS)}
