"""The statistics as a picture: totals, Stars by hour or day, orders by how they ended.

The font is the one that Pillow ships, which has Latin letters only: so the picture speaks English to all admins.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from services.monitoring.stats import Line, Stats

_WIDTH, _HEIGHT = 1200, 1000
_SHARP: Final = 2
"""Drawn this much larger and then made smaller, which smooths the edges."""
_MARGIN: Final = 36
_PAPER, _PANEL, _GRID = "#dfe3ea", "#f7f8fa", "#d4d9e1"
_INK, _FAINT = "#1d2433", "#667085"
_SPANS: Final = {"today": "today by hour", "week": "the last 7 days", "month": "the last 30 days"}
_STEPS: Final = (1, 2, 5)
_TICKS: Final = 4
_X_LABELS: Final = 12


@dataclass(frozen=True)
class _Series:
    name: str
    colour: str
    value: Callable[[Line], int]


_STARS: Final = (
    _Series("paid in", "#d99a1c", lambda line: line.bucket.paid),
    _Series("earned by orders", "#3b6fd4", lambda line: line.bucket.earned),
    _Series("refunded", "#c2453d", lambda line: line.bucket.refunded),
)
_ORDERS: Final = (
    _Series("made", "#2f9363", lambda line: line.bucket.succeeded),
    _Series("failed", "#c2453d", lambda line: line.bucket.failed),
    _Series("stopped", "#98a2b3", lambda line: line.bucket.cancelled),
)


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float


def draw(stats: Stats) -> bytes:
    """A PNG of 1200 by 1000. It takes a good part of a second of CPU: not for the event loop."""
    image = Image.new("RGB", (_WIDTH * _SHARP, _HEIGHT * _SHARP), _PAPER)
    sheet = _Sheet(ImageDraw.Draw(image))
    sheet.text(_MARGIN, 34, f"Diptych: {_SPANS[stats.span]}", 34)
    last = stats.end - timedelta(days=1)
    sheet.text(_WIDTH - _MARGIN, 46, f"{stats.begin:%Y-%m-%d} to {last:%Y-%m-%d}, UTC", 20, _FAINT, "ra")
    _draw_totals(sheet, stats.total)
    right = _WIDTH - _MARGIN
    _draw_chart(sheet, _Box(_MARGIN, 310, right, 645), "Stars", stats, _STARS, stacked=False)
    _draw_chart(sheet, _Box(_MARGIN, 665, right, _HEIGHT - _MARGIN), "Orders", stats, _ORDERS, stacked=True)
    out = io.BytesIO()
    image.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


class _Sheet:
    """Draws in units of the finished picture."""

    def __init__(self, pen: ImageDraw.ImageDraw) -> None:
        self._pen = pen

    def text(self, x: float, y: float, words: str, size: int, ink: str = _INK, anchor: str = "la") -> None:
        self._pen.text((x * _SHARP, y * _SHARP), words, ink, _font(size * _SHARP), anchor)

    def width(self, words: str, size: int) -> float:
        return _font(size * _SHARP).getlength(words) / _SHARP

    def panel(self, box: _Box, colour: str = _PANEL, radius: float = 14) -> None:
        corners = (box.left, box.top, box.right, box.bottom)
        self._pen.rounded_rectangle([each * _SHARP for each in corners], radius * _SHARP, colour)

    def bar(self, box: _Box, colour: str) -> None:
        if box.bottom - box.top >= 0.5:
            corners = [each * _SHARP for each in (box.left, box.top, box.right, box.bottom)]
            self._pen.rectangle(corners, colour)

    def rule(self, left: float, right: float, y: float) -> None:
        self._pen.line([(left * _SHARP, y * _SHARP), (right * _SHARP, y * _SHARP)], _GRID, _SHARP)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - Pillow's wheels have FreeType
    return font


def _draw_totals(sheet: _Sheet, total: Line) -> None:
    b = total.bucket
    share = f"{total.margin / total.income:.0%}" if total.income > 0 else "nothing earned"
    tiles = (
        ("Paid in", f"{b.paid:,}", "Stars"),
        ("Earned by orders", f"{b.earned:,}", f"Stars, {_usd(total.income)} paid out"),
        ("Cost by catalogue", _usd(total.cost), "of the orders made"),
        ("Margin", _usd(total.margin), share),
        ("Refunded", f"{b.refunded:,}", "Stars"),
        ("Orders", f"{b.orders:,}", f"{b.succeeded:,} made, {b.failed:,} failed, {b.cancelled:,} stopped"),
        ("People who ordered", f"{b.active_users:,}", ""),
        ("New people", f"{b.new_users:,}", ""),
    )  # fmt: skip
    gap, columns = 16, 4
    width = (_WIDTH - 2 * _MARGIN - gap * (columns - 1)) / columns
    for number, (name, value, note) in enumerate(tiles):
        left, top = _MARGIN + number % columns * (width + gap), 92 + number // columns * 106
        sheet.panel(_Box(left, top, left + width, top + 92))
        sheet.text(left + 16, top + 10, name, 16, _FAINT)
        sheet.text(left + 16, top + 30, value, 30)
        sheet.text(left + 16, top + 68, note, 14, _FAINT)


def _draw_chart(
    sheet: _Sheet, box: _Box, title: str, stats: Stats, series: Sequence[_Series], *, stacked: bool
) -> None:
    sheet.panel(box)
    sheet.text(box.left + 20, box.top + 14, title, 22)
    _draw_legend(sheet, box, series)
    plot = _Box(box.left + 84, box.top + 66, box.right - 24, box.bottom - 42)
    values = [[each.value(line) for each in series] for line in stats.lines]
    step = _tick(max((sum if stacked else max)(each) for each in values))
    for number in range(_TICKS + 1):
        y = plot.bottom - number / _TICKS * (plot.bottom - plot.top)
        sheet.rule(plot.left, plot.right, y)
        sheet.text(plot.left - 12, y, f"{number * step:,}", 15, _FAINT, "rm")
    room = (plot.right - plot.left) / len(values)
    high = (plot.bottom - plot.top) / (step * _TICKS)
    for number, (line, bars) in enumerate(zip(stats.lines, values, strict=True)):
        place = _Box(plot.left + number * room, plot.top, plot.left + (number + 1) * room, plot.bottom)
        _draw_bars(sheet, place, [value * high for value in bars], series, stacked=stacked)
        if number % -(-len(values) // _X_LABELS) == 0:
            label = _label(line.bucket.at, hours=stats.unit == "hour")
            sheet.text(place.left + room / 2, plot.bottom + 10, label, 15, _FAINT, "ma")


def _draw_bars(
    sheet: _Sheet, place: _Box, heights: Sequence[float], series: Sequence[_Series], *, stacked: bool
) -> None:
    room = (place.right - place.left) * 0.7
    left, bottom = place.left + (place.right - place.left) * 0.15, place.bottom
    for height, each in zip(heights, series, strict=True):
        width = min(room, 60) if stacked else room / len(series)
        start = place.left + (place.right - place.left - width) / 2 if stacked else left
        sheet.bar(_Box(start, bottom - height, start + width - (0 if stacked else 1), bottom), each.colour)
        left, bottom = (left, bottom - height) if stacked else (left + width, bottom)


def _draw_legend(sheet: _Sheet, box: _Box, series: Sequence[_Series]) -> None:
    right = box.right - 24
    for each in reversed(series):
        sheet.text(right, box.top + 26, each.name, 16, _FAINT, "rm")
        right -= sheet.width(each.name, 16) + 22
        sheet.panel(_Box(right, box.top + 19, right + 14, box.top + 33), each.colour, 3)
        right -= 18


def _label(at: datetime, *, hours: bool) -> str:
    return f"{at:%H}" if hours else f"{at:%d %b}"


def _tick(highest: int) -> int:
    """A round step, 1 at least, of which four reach the highest value."""
    scale = 1
    while True:
        for step in _STEPS:
            if step * scale * _TICKS >= highest:
                return step * scale
        scale *= 10


def _usd(amount: object) -> str:
    return f"${amount:,.2f}".replace("$-", "-$")
