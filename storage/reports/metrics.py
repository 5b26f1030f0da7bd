"""What stands in the database now, for /metrics: cheap to read however long the tables have grown."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from storage.pool import Connection

_OPEN = """
SELECT service, plan, state, count(*) AS count,
       extract(epoch FROM now() - min(created_at))::float8 AS oldest_seconds
FROM jobs WHERE state IN ('queued', 'running') GROUP BY service, plan, state"""
_OUTBOX = "SELECT count(*) FROM outbox"
_INCIDENTS = "SELECT kind FROM incidents WHERE closed_at IS NULL"

# $1: up to where the rows have been added up for good; $2: up to where that can be done now.
_RECOVERIES = """
SELECT kind || ' ' || service AS name, count(*) FILTER (WHERE id <= $2) AS settled, count(*) AS total
FROM job_events WHERE id > $1 AND kind IN ('fell_back', 'taken_over') GROUP BY name"""
_LEDGER = """
SELECT account AS name, coalesce(sum(amount) FILTER (WHERE id <= $2), 0)::bigint AS settled,
       sum(amount)::bigint AS total
FROM ledger_postings WHERE id > $1 GROUP BY account"""
_LAST_EVENT = "SELECT coalesce(max(id), 0) FROM job_events"
_LAST_POSTING = "SELECT coalesce(max(id), 0) FROM ledger_postings"
_SETTLE_SECONDS: Final = 120.0
"""Longer than any transaction of ours: ids below what was seen then are committed or will never be."""


@dataclass(frozen=True)
class OpenJobCount:
    """Open jobs of one service, plan and state, and how long ago the oldest was accepted."""

    service: str
    plan: str
    state: str
    count: int
    oldest_seconds: float


@dataclass(frozen=True)
class DatabaseMetrics:
    """`rescues` is by event and service, `ledger` is Stars by account; both since the beginning."""

    open: list[OpenJobCount]
    outbox: int
    incidents: list[str]
    recoveries: Mapping[tuple[str, str], int]
    ledger: Mapping[str, int]


@dataclass
class _RunningTotal:
    """Sums over a table that is only added to: what is settled is read once, not again at each scrape."""

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
    def __init__(self) -> None:
        self._rescues = _RunningTotal(_RECOVERIES, _LAST_EVENT)
        self._ledger = _RunningTotal(_LEDGER, _LAST_POSTING)

    async def read(self, db: Connection) -> DatabaseMetrics:
        rescues = await self._rescues.read(db)
        return DatabaseMetrics(
            [OpenJobCount(**dict(row)) for row in await db.fetch(_OPEN)],
            await db.fetchval(_OUTBOX),
            [row["kind"] for row in await db.fetch(_INCIDENTS)],
            {(name.split()[0], name.split()[1]): count for name, count in rescues.items()},
            await self._ledger.read(db),
        )
