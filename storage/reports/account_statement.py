"""A person's account as they read it: every move in one line, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from storage.pool import Executor

# A hold and its end are one line: what the order took off the person, where it has ended with a release nothing.
# The amounts of all lines sum to what the person has, and `balance` is that sum up to the line.
_LINES = """
WITH moves AS (
    SELECT t.id, t.key, t.kind, t.job_id, t.created_at,
           coalesce(sum(p.amount) FILTER (WHERE p.account = 'available'), 0)::bigint AS amount,
           coalesce(-sum(p.amount) FILTER (WHERE p.account = 'debt'), 0)::bigint AS owed
    FROM ledger_transactions t JOIN ledger_postings p ON p.transaction_id = t.id AND p.user_id = $1
    WHERE t.user_id = $1 GROUP BY t.id
), lines AS (
    SELECT m.id, m.key, m.kind, m.job_id, m.created_at, m.owed, m.amount + coalesce(s.amount, 0) AS amount,
           CASE WHEN m.kind = 'hold' THEN coalesce(s.kind, 'open') END AS settled
    FROM moves m
    LEFT JOIN moves s ON m.kind = 'hold' AND s.job_id = m.job_id AND s.kind IN ('capture', 'release')
    WHERE m.kind NOT IN ('capture', 'release')
), summed AS (
    SELECT *, sum(amount) OVER (ORDER BY id)::bigint AS balance, count(*) OVER () AS total FROM lines
)
SELECT l.kind, l.key, l.settled, l.amount::bigint, l.owed, l.balance, l.created_at, l.total,
       j.service, topup.subscription
FROM summed l
LEFT JOIN jobs j ON j.id = l.job_id
LEFT JOIN charges c ON l.kind IN ('topup', 'subscription_bonus') AND c.id = substr(l.key, strpos(l.key, ':') + 1)
LEFT JOIN topups topup ON topup.id = c.topup_id
ORDER BY l.id DESC LIMIT $2 OFFSET $3"""


@dataclass(frozen=True)
class StatementLine:
    """One move. `amount` is whole Stars, below zero for what was spent or set aside; `balance` what there was to
    spend after it. `settled` says how an order's hold stands; `owed` is what a refund left owing, below zero
    where a debt was paid. `service` is the order's, `subscription` the plan that was paid for."""

    kind: str
    key: str
    settled: Literal["open", "capture", "release"] | None
    amount: int
    owed: int
    balance: int
    created_at: datetime
    service: str | None
    tier: str | None


@dataclass(frozen=True)
class StatementPage:
    """`total` is how many lines there are in all."""

    lines: Sequence[StatementLine]
    total: int


def _line(row: asyncpg.Record) -> StatementLine:
    return StatementLine(**{name: row[name] for name in StatementLine.__dataclass_fields__})


async def get_statement(db: Executor, user_id: int, *, page: int, size: int) -> StatementPage:
    """Page `page`, counted from 0. One beyond the end is empty, and its total is 0."""
    rows = await db.fetch(_LINES, user_id, size, page * size)
    return StatementPage([_line(row) for row in rows], rows[0]["total"] if rows else 0)
