"""Users, orders, money, and what the orders cost us, over a span of days; for `/stats`."""

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
"""What Telegram pays out for a Star. Prices are calculated with more (USD_PER_CREDIT in generation/catalogue.py),
which is what users pay for one, so the margin here is the lower, true one."""

_DAYS: Final[dict[Span, int]] = {"today": 1, "week": 7, "month": 30}
_COLUMNS: Final = (
    "begin", "new_users", "active_users", "orders", "succeeded", "failed", "cancelled",
    "earned_stars", "paid_stars", "refunded_stars", "earned_usd", "cost_usd", "margin_usd",
)  # fmt: skip


@dataclass(frozen=True)
class StatsRow:
    """The numbers of one bucket (an hour or a day), or of all of them.

    Attributes:
        bucket: The counts.
        cost: What the orders that succeeded then cost us, in US dollars.
    """

    bucket: Bucket
    cost: Decimal

    @property
    def income(self) -> Decimal:
        """What Telegram pays out for the credits that orders earned, in US dollars."""
        return self.bucket.earned * USD_PAYOUT_PER_STAR

    @property
    def margin(self) -> Decimal:
        """Income less cost, in US dollars."""
        return self.income - self.cost


@dataclass(frozen=True)
class Stats:
    """The numbers of a span.

    Attributes:
        span: Today, or the last 7 or 30 days.
        unit: What a row stands for.
        begin: The start of the span, in UTC.
        end: Its end, which is not part of it.
        rows: Every hour or day of the span, the oldest first.
        total: All rows together; a user who ordered on several days counts once.
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
        """The rows and their total as CSV; times are in UTC."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(_COLUMNS)
        for row in self.rows:
            table.writerow([f"{row.bucket.at:%Y-%m-%d %H:%M}", *_cells(row)])
        table.writerow(["total", *_cells(self.total)])
        return out.getvalue()


async def collect_stats(db: Executor, span: Span, now: datetime | None = None) -> Stats:
    """Count a span, from midnight (UTC) of its first day to the end of today.

    Args:
        db: The database.
        span: Which days.
        now: The time; tests set it.
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
