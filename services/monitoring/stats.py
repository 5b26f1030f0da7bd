"""How the studio does: people, orders, Stars, and what the orders cost us; for `/stats`."""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal

from services.generation.costs import cost_of
from storage.pool import Executor
from storage.reports.revenue import Bucket, Ends, Unit, count_active, count_buckets, count_ends, made_orders

Span = Literal["today", "week", "month"]

USD_PAID_OUT: Final = Decimal("0.013")
"""What Telegram pays out for a Star. Prices are made with more (generation/catalogue.py: USD_PER_STAR), which is
what people pay for one, so the margin here is the lower, true one."""

_DAYS: Final[dict[Span, int]] = {"today": 1, "week": 7, "month": 30}
_COLUMNS: Final = (
    "begin", "new_users", "active_users", "orders", "succeeded", "failed", "cancelled",
    "earned_stars", "paid_stars", "refunded_stars", "earned_usd", "cost_usd", "margin_usd",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """What a bucket had, or all of them; `cost` is US dollars, for the orders made then."""

    bucket: Bucket
    cost: Decimal

    @property
    def income(self) -> Decimal:
        """What Telegram pays out for the Stars that orders earned, in US dollars."""
        return self.bucket.earned * USD_PAID_OUT

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
    lines: tuple[Line, ...]
    total: Line
    services: tuple[Ends, ...]

    @property
    def csv(self) -> str:
        """A line for each hour or day, and one for the sum; times in UTC."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(_COLUMNS)
        for line in self.lines:
            table.writerow([f"{line.bucket.at:%Y-%m-%d %H:%M}", *_cells(line)])
        table.writerow(["total", *_cells(self.total)])
        return out.getvalue()


async def gather_stats(db: Executor, span: Span, now: datetime | None = None) -> Stats:
    """From midnight, UTC, of the span's first day to the end of this one."""
    end = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    begin, unit = end - timedelta(days=_DAYS[span]), _unit(span)
    counted = {bucket.at: bucket for bucket in await count_buckets(db, begin, end, unit)}
    costs: defaultdict[datetime, Decimal] = defaultdict(Decimal)
    for made in await made_orders(db, begin, end, unit):
        costs[made.at] += made.count * cost_of(made.service, made.inputs, stars=made.price)
    step = timedelta(hours=1) if unit == "hour" else timedelta(days=1)
    moments = [begin + number * step for number in range((end - begin) // step)]
    lines = tuple(Line(counted.get(at, Bucket(at)), costs[at]) for at in moments)
    total = _sum(begin, lines, active_users=await count_active(db, begin, end))
    return Stats(span, unit, begin, end, lines, total, tuple(await count_ends(db, begin, end)))


def _unit(span: Span) -> Unit:
    return "hour" if span == "today" else "day"


def _sum(begin: datetime, lines: tuple[Line, ...], *, active_users: int) -> Line:
    names = [name for name in Bucket.__dataclass_fields__ if name not in ("at", "active_users")]
    sums = {name: sum(getattr(line.bucket, name) for line in lines) for name in names}
    return Line(Bucket(begin, active_users=active_users, **sums), sum((line.cost for line in lines), Decimal()))


def _cells(line: Line) -> list[int | str]:
    b = line.bucket
    people = [b.new_users, b.active_users, b.orders, b.succeeded, b.failed, b.cancelled]
    return [
        *people,
        b.earned,
        b.paid,
        b.refunded,
        *(f"{usd:.4f}" for usd in (line.income, line.cost, line.margin)),
    ]
