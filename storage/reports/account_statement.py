"""A user's account statement: one line per movement of credits, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from storage.pool import Executor

# A hold and its capture or release are one line, with what the order cost the user: nothing after a release. The
# amounts of all lines add up to the available credits. `balance` is the sum up to and including the line.
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
       j.service, topup.tier
FROM summed l
LEFT JOIN jobs j ON j.id = l.job_id
LEFT JOIN payments p ON l.kind IN ('topup', 'subscription_bonus') AND p.id = substr(l.key, strpos(l.key, ':') + 1)
LEFT JOIN topups topup ON topup.id = p.topup_id
ORDER BY l.id DESC LIMIT $2 OFFSET $3"""


@dataclass(frozen=True)
class StatementLine:
    """One line. Amounts are in credits.

    Attributes:
        settled: The state of an order's hold; None for all other lines.
        amount: Below zero for credits that were spent or are held.
        owed: The debt that a refund left; below zero if a debt was paid.
        balance: The available credits after it.
        service: The service that was ordered; None for all other lines.
        tier: The tier of the subscription that was paid for; None for all other lines.
    """

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
    """A page of the statement. `total` is the number of lines on all pages."""

    lines: Sequence[StatementLine]
    total: int


def _line(row: asyncpg.Record) -> StatementLine:
    return StatementLine(**{name: row[name] for name in StatementLine.__dataclass_fields__})


async def get_statement(db: Executor, user_id: int, *, page: int, size: int) -> StatementPage:
    """Read a page of the statement.

    Args:
        db: The pool or a connection.
        user_id: The user.
        page: The number of the page, from 0. A page after the last one is empty and has a total of 0.
        size: Lines per page.
    """
    rows = await db.fetch(_LINES, user_id, size, page * size)
    return StatementPage([_line(row) for row in rows], rows[0]["total"] if rows else 0)
