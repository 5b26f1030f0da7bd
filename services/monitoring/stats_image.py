"""The statistics as an image: totals, Stars over time, and orders over time by outcome.

Pillow's built-in font has only Latin letters, so the image is in English for all admins.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from services.monitoring.stats import Stats, StatsRow

_WIDTH, _HEIGHT = 1200, 1000
_SUPERSAMPLING: Final = 2
"""The image is drawn at this scale and then reduced, for smooth edges."""
_MARGIN: Final = 36
_BACKGROUND, _PANEL_COLOR, _GRID_COLOR = "#dfe3ea", "#f7f8fa", "#d4d9e1"
_TEXT_COLOR, _MUTED_COLOR = "#1d2433", "#667085"
_SPAN_TITLES: Final = {"today": "today by hour", "week": "the last 7 days", "month": "the last 30 days"}
_TICK_STEPS: Final = (1, 2, 5)
_TICKS: Final = 4
_MAX_X_LABELS: Final = 12


@dataclass(frozen=True)
class _Series:
    name: str
    color: str
    value: Callable[[StatsRow], int]


_STARS_SERIES: Final = (
    _Series("paid in", "#d99a1c", lambda row: row.bucket.paid),
    _Series("earned by orders", "#3b6fd4", lambda row: row.bucket.earned),
    _Series("refunded", "#c2453d", lambda row: row.bucket.refunded),
)
_ORDERS_SERIES: Final = (
    _Series("made", "#2f9363", lambda row: row.bucket.succeeded),
    _Series("failed", "#c2453d", lambda row: row.bucket.failed),
    _Series("stopped", "#98a2b3", lambda row: row.bucket.cancelled),
)


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float


def render_stats_image(stats: Stats) -> bytes:
    """Draw the statistics of a span.

    It takes a large part of a second of CPU time, so call it in a thread.

    Args:
        stats: The figures.

    Returns:
        A PNG of 1200 by 1000 pixels.
    """
    image = Image.new("RGB", (_WIDTH * _SUPERSAMPLING, _HEIGHT * _SUPERSAMPLING), _BACKGROUND)
    canvas = _Canvas(ImageDraw.Draw(image))
    canvas.text(_MARGIN, 34, f"Diptych: {_SPAN_TITLES[stats.span]}", 34)
    last = stats.end - timedelta(days=1)
    canvas.text(_WIDTH - _MARGIN, 46, f"{stats.begin:%Y-%m-%d} to {last:%Y-%m-%d}, UTC", 20, _MUTED_COLOR, "ra")
    _draw_totals(canvas, stats.total)
    right = _WIDTH - _MARGIN
    _draw_chart(canvas, _Box(_MARGIN, 310, right, 645), "Stars", stats, _STARS_SERIES, stacked=False)
    _draw_chart(
        canvas, _Box(_MARGIN, 665, right, _HEIGHT - _MARGIN), "Orders", stats, _ORDERS_SERIES, stacked=True
    )
    out = io.BytesIO()
    image.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS).save(out, "PNG", optimize=True)
    return out.getvalue()


class _Canvas:
    """Draws in pixels of the finished image."""

    def __init__(self, pen: ImageDraw.ImageDraw) -> None:
        self._draw = pen

    def text(self, x: float, y: float, text: str, size: int, color: str = _TEXT_COLOR, anchor: str = "la") -> None:
        self._draw.text(
            (x * _SUPERSAMPLING, y * _SUPERSAMPLING), text, color, _font(size * _SUPERSAMPLING), anchor
        )

    def text_width(self, text: str, size: int) -> float:
        return _font(size * _SUPERSAMPLING).getlength(text) / _SUPERSAMPLING

    def panel(self, box: _Box, color: str = _PANEL_COLOR, radius: float = 14) -> None:
        corners = (box.left, box.top, box.right, box.bottom)
        self._draw.rounded_rectangle([each * _SUPERSAMPLING for each in corners], radius * _SUPERSAMPLING, color)

    def bar(self, box: _Box, color: str) -> None:
        if box.bottom - box.top >= 0.5:
            corners = [each * _SUPERSAMPLING for each in (box.left, box.top, box.right, box.bottom)]
            self._draw.rectangle(corners, color)

    def grid_line(self, left: float, right: float, y: float) -> None:
        self._draw.line(
            [(left * _SUPERSAMPLING, y * _SUPERSAMPLING), (right * _SUPERSAMPLING, y * _SUPERSAMPLING)],
            _GRID_COLOR,
            _SUPERSAMPLING,
        )


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - Pillow's wheels have FreeType
    return font


def _draw_totals(canvas: _Canvas, total: StatsRow) -> None:
    b = total.bucket
    share = f"{total.margin / total.income:.0%}" if total.income > 0 else "nothing earned"
    tiles = (
        ("Paid in", f"{b.paid:,}", "Stars"),
        ("Earned by orders", f"{b.earned:,}", f"Stars, {_format_usd(total.income)} paid out"),
        ("Cost by catalogue", _format_usd(total.cost), "of the orders made"),
        ("Margin", _format_usd(total.margin), share),
        ("Refunded", f"{b.refunded:,}", "Stars"),
        ("Orders", f"{b.orders:,}", f"{b.succeeded:,} made, {b.failed:,} failed, {b.cancelled:,} stopped"),
        ("People who ordered", f"{b.active_users:,}", ""),
        ("New people", f"{b.new_users:,}", ""),
    )  # fmt: skip
    gap, columns = 16, 4
    width = (_WIDTH - 2 * _MARGIN - gap * (columns - 1)) / columns
    for number, (name, value, note) in enumerate(tiles):
        left, top = _MARGIN + number % columns * (width + gap), 92 + number // columns * 106
        canvas.panel(_Box(left, top, left + width, top + 92))
        canvas.text(left + 16, top + 10, name, 16, _MUTED_COLOR)
        canvas.text(left + 16, top + 30, value, 30)
        canvas.text(left + 16, top + 68, note, 14, _MUTED_COLOR)


def _draw_chart(
    canvas: _Canvas, box: _Box, title: str, stats: Stats, series: Sequence[_Series], *, stacked: bool
) -> None:
    canvas.panel(box)
    canvas.text(box.left + 20, box.top + 14, title, 22)
    _draw_legend(canvas, box, series)
    plot = _Box(box.left + 84, box.top + 66, box.right - 24, box.bottom - 42)
    values = [[each.value(row) for each in series] for row in stats.rows]
    step = _tick_step(max((sum if stacked else max)(each) for each in values))
    for number in range(_TICKS + 1):
        y = plot.bottom - number / _TICKS * (plot.bottom - plot.top)
        canvas.grid_line(plot.left, plot.right, y)
        canvas.text(plot.left - 12, y, f"{number * step:,}", 15, _MUTED_COLOR, "rm")
    bar_width = (plot.right - plot.left) / len(values)
    pixels_per_unit = (plot.bottom - plot.top) / (step * _TICKS)
    for number, (row, bars) in enumerate(zip(stats.rows, values, strict=True)):
        column_box = _Box(
            plot.left + number * bar_width, plot.top, plot.left + (number + 1) * bar_width, plot.bottom
        )
        _draw_bars(canvas, column_box, [value * pixels_per_unit for value in bars], series, stacked=stacked)
        if number % -(-len(values) // _MAX_X_LABELS) == 0:
            label = _axis_label(row.bucket.at, hours=stats.unit == "hour")
            canvas.text(column_box.left + bar_width / 2, plot.bottom + 10, label, 15, _MUTED_COLOR, "ma")


def _draw_bars(
    canvas: _Canvas, box: _Box, heights: Sequence[float], series: Sequence[_Series], *, stacked: bool
) -> None:
    width_available = (box.right - box.left) * 0.7
    left, bottom = box.left + (box.right - box.left) * 0.15, box.bottom
    for height, each in zip(heights, series, strict=True):
        width = min(width_available, 60) if stacked else width_available / len(series)
        start = box.left + (box.right - box.left - width) / 2 if stacked else left
        canvas.bar(_Box(start, bottom - height, start + width - (0 if stacked else 1), bottom), each.color)
        left, bottom = (left, bottom - height) if stacked else (left + width, bottom)


def _draw_legend(canvas: _Canvas, box: _Box, series: Sequence[_Series]) -> None:
    right = box.right - 24
    for each in reversed(series):
        canvas.text(right, box.top + 26, each.name, 16, _MUTED_COLOR, "rm")
        right -= canvas.text_width(each.name, 16) + 22
        canvas.panel(_Box(right, box.top + 19, right + 14, box.top + 33), each.color, 3)
        right -= 18


def _axis_label(at: datetime, *, hours: bool) -> str:
    return f"{at:%H}" if hours else f"{at:%d %b}"


def _tick_step(highest: int) -> int:
    """Return a round step, at least 1, so that four steps reach the highest value."""
    scale = 1
    while True:
        for step in _TICK_STEPS:
            if step * scale * _TICKS >= highest:
                return step * scale
        scale *= 10


def _format_usd(amount: object) -> str:
    return f"${amount:,.2f}".replace("$-", "-$")
