"""How the studio does: people, orders, Stars, and what the orders cost us; for `/stats`."""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from services.generation.costs import order_cost_usd
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
"""What Telegram pays out for a Star. Prices are made with more (generation/catalogue.py: USD_PER_STAR), which is
what people pay for one, so the margin here is the lower, true one."""

_DAYS: Final[dict[Span, int]] = {"today": 1, "week": 7, "month": 30}
_COLUMNS: Final = (
    "begin", "new_users", "active_users", "orders", "succeeded", "failed", "cancelled",
    "earned_stars", "paid_stars", "refunded_stars", "earned_usd", "cost_usd", "margin_usd",
)  # fmt: skip


@dataclass(frozen=True)
class StatsRow:
    """What a bucket had, or all of them; `cost` is US dollars, for the orders made then."""

    bucket: Bucket
    cost: Decimal

    @property
    def income(self) -> Decimal:
        """What Telegram pays out for the Stars that orders earned, in US dollars."""
        return self.bucket.earned * USD_PAYOUT_PER_STAR

    @property
    def margin(self) -> Decimal:
        return self.income - self.cost


@dataclass(frozen=True)
class Stats:
    """`lines` has every hour or day of the span, the oldest first; `total` all of them, each person once."""

    span: Span
    unit: Unit
    begin: datetime
    end: datetime
    rows: tuple[StatsRow, ...]
    total: StatsRow
    service_outcomes: tuple[OrderOutcomes, ...]

    @property
    def csv(self) -> str:
        """A line for each hour or day, and one for the sum; times in UTC."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(_COLUMNS)
        for line in self.rows:
            table.writerow([f"{line.bucket.at:%Y-%m-%d %H:%M}", *_cells(line)])
        table.writerow(["total", *_cells(self.total)])
        return out.getvalue()


async def collect_stats(db: Executor, span: Span, now: datetime | None = None) -> Stats:
    """From midnight, UTC, of the span's first day to the end of this one."""
    end = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    begin, unit = end - timedelta(days=_DAYS[span]), _unit_for(span)
    buckets = {bucket.at: bucket for bucket in await count_buckets(db, begin, end, unit)}
    costs: defaultdict[datetime, Decimal] = defaultdict(Decimal)
    for group in await completed_orders(db, begin, end, unit):
        costs[group.at] += group.count * order_cost_usd(group.service, group.inputs, price=group.price)
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
    moments = [begin + number * step for number in range((end - begin) // step)]
    rows = tuple(StatsRow(buckets.get(at, Bucket(at)), costs[at]) for at in moments)
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
