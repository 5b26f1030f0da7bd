"""Figures about users, orders, money and our costs over a span of days, for `/stats`."""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from services.generation.catalogue import order_cost_usd
from storage.pool import Executor
from storage.reports.revenue import (
    Bucket,
    OrderOutcomes,
    Unit,
    completed_orders,
    count_buckets,
    count_outcomes,
    count_totals,
)

Span = Literal["today", "week", "month"]

USD_PAYOUT_PER_STAR: Final = Decimal("0.013")
"""The amount that Telegram pays out per Star, in US dollars. Prices are calculated with what users pay per Star
(USD_PER_CREDIT in generation/catalogue.py), which is more; the margin here is the real, lower one."""

_DAYS: Final[dict[Span, int]] = {"today": 1, "week": 7, "month": 30}
_COLUMNS: Final = (
    "begin", "new_users", "active_users", "orders", "succeeded", "failed", "cancelled",
    "earned_stars", "paid_stars", "refunded_stars", "earned_usd", "cost_usd", "margin_usd",
)  # fmt: skip


@dataclass(frozen=True)
class StatsRow:
    """The figures of one bucket (an hour or a day), or of all of them.

    Attributes:
        bucket: The counts.
        cost: Our cost of the orders that succeeded in it, in US dollars.
    """

    bucket: Bucket
    cost: Decimal

    @property
    def income(self) -> Decimal:
        """The payout for the credits earned by orders, in US dollars."""
        return self.bucket.earned * USD_PAYOUT_PER_STAR

    @property
    def margin(self) -> Decimal:
        """Income minus cost, in US dollars."""
        return self.income - self.cost


@dataclass(frozen=True)
class Stats:
    """The figures of a span.

    Attributes:
        span: Today, or the last 7 or 30 days.
        unit: The length of a row's bucket.
        begin: The start of the span, in UTC.
        end: The end of the span (exclusive).
        rows: One row per hour or day, oldest first.
        total: All rows together. A user who was active in several buckets counts once.
        service_outcomes: How the orders of each service ended.
    """

    span: Span
    unit: Unit
    begin: datetime
    end: datetime
    rows: tuple[StatsRow, ...]
    total: StatsRow
    service_outcomes: tuple[OrderOutcomes, ...]

    @property
    def csv(self) -> str:
        """The rows and the total as CSV. Times are in UTC."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(_COLUMNS)
        for row in self.rows:
            table.writerow([f"{row.bucket.at:%Y-%m-%d %H:%M}", *_cells(row)])
        table.writerow(["total", *_cells(self.total)])
        return out.getvalue()


async def collect_stats(db: Executor, span: Span, now: datetime | None = None) -> Stats:
    """Collect the figures of a span, from midnight (UTC) of its first day to the end of today.

    Args:
        db: The database.
        span: The span.
        now: The current time; None for the clock's.
    """
    end = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    begin, unit = end - timedelta(days=_DAYS[span]), _unit_for(span)
    buckets = {bucket.at: bucket for bucket in await count_buckets(db, begin, end, unit)}
    costs: defaultdict[datetime, Decimal] = defaultdict(Decimal)
    for group in await completed_orders(db, begin, end, unit):
        costs[group.at] += group.count * order_cost_usd(group.service, group.inputs, price=group.price)
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
    starts = [begin + number * step for number in range((end - begin) // step)]
    rows = tuple(StatsRow(buckets.get(at, Bucket(at)), costs[at]) for at in starts)
    total = StatsRow(await count_totals(db, begin, end), sum((row.cost for row in rows), Decimal()))
    return Stats(span, unit, begin, end, rows, total, tuple(await count_outcomes(db, begin, end)))


def _unit_for(span: Span) -> Unit:
    return "hour" if span == "today" else "day"


def _cells(row: StatsRow) -> list[int | str]:
    b = row.bucket
    order_counts = [b.new_users, b.active_users, b.orders, b.succeeded, b.failed, b.cancelled]
    return [
        *order_counts,
        b.earned,
        b.paid,
        b.refunded,
        *(f"{usd:.4f}" for usd in (row.income, row.cost, row.margin)),
    ]
