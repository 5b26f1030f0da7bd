"""The database's figures for /metrics, which stay cheap to read as the tables grow."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from storage.pool import Connection
from storage.reports.order_status import (
    RECOVERED_ORDERS,
    OpenOrders,
    Unpublished,
    count_unpublished,
    open_orders,
)

_INCIDENTS = "SELECT kind FROM incidents WHERE closed_at IS NULL"

# $1 is the id up to which rows have already been summed; $2 the id up to which they can now be summed for good.
_RECOVERIES = f"""
SELECT e.kind || ' ' || e.service AS name, count(*) FILTER (WHERE e.id <= $2) AS settled, count(*) AS total
FROM {RECOVERED_ORDERS} WHERE e.id > $1 GROUP BY name"""  # noqa: S608
_LEDGER = """
SELECT account AS name, coalesce(sum(amount) FILTER (WHERE id <= $2), 0)::bigint AS settled,
       sum(amount)::bigint AS total
FROM ledger_postings WHERE id > $1 GROUP BY account"""
_LAST_EVENT = "SELECT coalesce(max(id), 0) FROM job_events"
_LAST_POSTING = "SELECT coalesce(max(id), 0) FROM ledger_postings"
_SETTLE_SECONDS: Final = 120.0
"""Longer than any of our transactions: after this time, all ids up to one that was seen are committed or never will
be."""


@dataclass(frozen=True)
class DatabaseMetrics:
    """The database's figures for /metrics.

    Attributes:
        open_orders: Open orders by service and plan.
        unpublished: The size of the outbox.
        incidents: The kinds of open incidents.
        recoveries: All recoveries ever, by event and service.
        ledger: The sum of all postings ever, by account, in credits.
    """

    open_orders: list[OpenOrders]
    unpublished: Unpublished
    incidents: list[str]
    recoveries: Mapping[tuple[str, str], int]
    ledger: Mapping[str, int]


@dataclass
class _RunningTotal:
    """Sums over an append-only table. Settled rows are read once instead of at each scrape."""

    query: str
    last_id_query: str
    _settled: dict[str, int] = field(default_factory=dict)
    _settled_up_to: int = 0
    _recent_ids: deque[tuple[float, int]] = field(default_factory=deque)

    async def read(self, db: Connection) -> dict[str, int]:
        now = time.monotonic()
        mark = self._settled_up_to
        while self._recent_ids and now - self._recent_ids[0][0] > _SETTLE_SECONDS:
            mark = self._recent_ids.popleft()[1]
        last = await db.fetchval(self.last_id_query)
        rows = await db.fetch(self.query, self._settled_up_to, mark)
        sums = dict(self._settled)
        for row in rows:
            sums[row["name"]] = sums.get(row["name"], 0) + row["total"]
        for row in rows:
            self._settled[row["name"]] = self._settled.get(row["name"], 0) + row["settled"]
        self._settled_up_to = mark
        self._recent_ids.append((now, last))
        return sums


class MetricsReader:
    """Reads the figures, and remembers the sums of settled rows."""

    def __init__(self) -> None:
        self._recoveries = _RunningTotal(_RECOVERIES, _LAST_EVENT)
        self._ledger = _RunningTotal(_LEDGER, _LAST_POSTING)

    async def read(self, db: Connection) -> DatabaseMetrics:
        """Read the current figures."""
        recoveries = await self._recoveries.read(db)
        return DatabaseMetrics(
            await open_orders(db),
            await count_unpublished(db),
            [row["kind"] for row in await db.fetch(_INCIDENTS)],
            {(name.split()[0], name.split()[1]): count for name, count in recoveries.items()},
            await self._ledger.read(db),
        )
