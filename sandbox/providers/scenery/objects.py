"""Small objects that a prompt may name: boats, birds, cabins, castles, lighthouses, balloons."""

import math

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, Pen, ToPixels, blend, draw_silhouette, parse_color
from sandbox.providers.scenery.noise import Array
from sandbox.providers.scenery.palette import Palette


def paint_boat(canvas: Canvas, palette: Palette, line: float, size: float) -> None:
    """A sailing boat on the row `line`, with its image in the water."""
    rng = canvas.rng
    x = canvas.width * float(rng.uniform(0.25, 0.75))

    def draw(pen: Pen, at: ToPixels, flip: int = 1) -> None:
        def up(*points: tuple[float, float]) -> list[tuple[float, float]]:
            return at(*((x + dx * size, line - flip * dy * size) for dx, dy in points))

        pen.polygon(up((-0.5, 0.1), (0.5, 0.14), (0.36, -0.02), (-0.38, -0.02)), fill=255)
        pen.polygon(up((0.02, 0.16), (0.02, 1.25), (-0.5, 0.2)), fill=225)
        pen.polygon(up((0.06, 0.2), (0.06, 1.1), (0.45, 0.22)), fill=240)

    top, bottom = max(0, int(line - size * 1.4)), min(canvas.height, int(line + size * 1.4))
    mirrored = draw_silhouette(canvas, top, bottom, lambda pen, at: draw(pen, at, -1))
    rows = np.arange(top, bottom)[:, None]
    canvas.blend_over(top, mirrored * (rows > line) * 0.4, palette.near)
    canvas.blend_over(top, draw_silhouette(canvas, top, bottom, draw), blend(palette.near, palette.light, 0.08))


def paint_birds(canvas: Canvas, palette: Palette, horizon: int) -> None:
    """A loose flock."""
    rng = canvas.rng
    x, y = canvas.width * float(rng.uniform(0.2, 0.7)), horizon * float(rng.uniform(0.3, 0.6))

    def draw(pen: Pen, at: ToPixels) -> None:
        for _ in range(int(rng.integers(6, 13))):
            bx, by = x + float(rng.normal(0, canvas.width * 0.07)), y + float(rng.normal(0, horizon * 0.06))
            span = canvas.width * float(rng.uniform(0.007, 0.015))
            lift = span * float(rng.uniform(0.3, 0.6))
            wing = [(bx - span, by - lift), (bx - span * 0.4, by - lift * 1.05), (bx, by)]
            wing += [(bx + span * 0.4, by - lift * 1.05), (bx + span, by - lift)]
            pen.line(at(*wing), fill=255, width=3, joint="curve")

    canvas.blend_over(0, draw_silhouette(canvas, 0, horizon, draw) * 0.85, palette.near)


def paint_balloons(canvas: Canvas, palette: Palette, horizon: int) -> None:
    """Hot-air balloons, each in two colours."""
    rng = canvas.rng
    shades = ("e4572e", "f3a712", "2e86ab", "a23b72", "3a9d6e", "f6e7cb")
    for _ in range(int(rng.integers(3, 6))):
        size = min(canvas.width, canvas.height) * float(rng.uniform(0.03, 0.085))
        x = canvas.width * float(rng.uniform(0.1, 0.9))
        y = horizon * float(rng.uniform(0.15, 0.75))
        one, two = (
            blend(parse_color(shades[int(n)]), palette.haze, 0.3) for n in rng.choice(len(shades), 2, False)
        )
        dim = np.float32(1 - 0.5 * palette.dark)
        for number, shade in enumerate((one, two, one)):
            wide = (1.0, 0.62, 0.26)[number]
            _paint_balloon(canvas, x, y, size, wide, shade * dim)


def _paint_balloon(canvas: Canvas, x: float, y: float, size: float, wide: float, shade: Array) -> None:
    def draw(pen: Pen, at: ToPixels) -> None:
        points = []
        for turn in np.linspace(0, 2 * math.pi, 48):
            drop = math.sin(turn)
            narrow = 1 - 0.42 * max(0.0, drop) ** 1.6
            points.append((x + math.cos(turn) * size * wide * narrow, y + drop * size * (1.25 if drop > 0 else 1)))
        pen.polygon(at(*points), fill=255)
        if wide == 1.0:
            pen.rectangle(at((x - size * 0.14, y + size * 1.5), (x + size * 0.14, y + size * 1.7)), fill=255)

    top, bottom = max(0, int(y - size * 1.1)), min(canvas.height, int(y + size * 1.8))
    canvas.blend_over(top, draw_silhouette(canvas, top, bottom, draw), shade)


def paint_cabin(canvas: Canvas, palette: Palette, ground: Array, size: float) -> None:
    """A small house with a lit window and a chimney."""
    x = int(canvas.width * float(canvas.rng.uniform(0.25, 0.75)))
    foot = float(ground[x]) + size * 0.1

    def house(pen: Pen, at: ToPixels) -> None:
        pen.rectangle(at((x - size * 0.5, foot - size * 0.55), (x + size * 0.5, foot + size * 0.3)), fill=255)
        pen.polygon(
            at((x - size * 0.66, foot - size * 0.5), (x, foot - size), (x + size * 0.66, foot - size * 0.5)),
            fill=255,
        )
        pen.rectangle(at((x + size * 0.24, foot - size * 1.0), (x + size * 0.36, foot - size * 0.6)), fill=255)

    def window(pen: Pen, at: ToPixels) -> None:
        for left in (-0.3, 0.08):
            pen.rectangle(
                at((x + left * size, foot - size * 0.38), (x + (left + 0.22) * size, foot - size * 0.12)), fill=255
            )

    top, bottom = max(0, int(foot - size * 1.1)), min(canvas.height, int(foot + size * 0.3))
    canvas.blend_over(top, draw_silhouette(canvas, top, bottom, house), palette.near)
    canvas.blend_over(top, draw_silhouette(canvas, top, bottom, window), parse_color("ffd27a"))


def paint_tower(canvas: Canvas, palette: Palette, ground: float, size: float, *, castle: bool) -> None:
    """A castle on a rock, or a lighthouse with its beam."""
    x = canvas.width * float(canvas.rng.choice([0.3, 0.7]))

    def draw_castle(pen: Pen, at: ToPixels) -> None:
        for aside, wide, tall in (
            (-0.42, 0.13, 0.6),
            (-0.2, 0.16, 0.85),
            (0.05, 0.2, 1.2),
            (0.3, 0.15, 0.75),
            (0.5, 0.1, 0.5),
        ):
            left, right, high = x + (aside - wide / 2) * size, x + (aside + wide / 2) * size, ground - tall * size
            pen.rectangle(at((left, high), (right, ground + 4)), fill=255)
            peak = high - wide * size * 1.5
            pen.polygon(
                at((left - size * 0.03, high), ((left + right) / 2, peak), (right + size * 0.03, high)), fill=255
            )
        pen.rectangle(at((x - size * 0.45, ground - size * 0.34), (x + size * 0.52, ground + 4)), fill=255)
        _draw_rock(pen, at, x, ground - size * 0.05, size * 0.95, size * 0.9)

    def draw_lighthouse(pen: Pen, at: ToPixels) -> None:
        _draw_rock(pen, at, x, ground - size * 0.06, size * 0.5, size * 0.09)
        pen.polygon(
            at(
                (x - size * 0.11, ground + 4),
                (x - size * 0.065, ground - size),
                (x + size * 0.065, ground - size),
                (x + size * 0.11, ground + 4),
            ),
            fill=255,
        )
        pen.rectangle(at((x - size * 0.09, ground - size * 1.03), (x + size * 0.09, ground - size)), fill=255)
        pen.rectangle(at((x - size * 0.05, ground - size * 1.15), (x + size * 0.05, ground - size)), fill=255)
        pen.polygon(
            at(
                (x - size * 0.08, ground - size * 1.14),
                (x, ground - size * 1.26),
                (x + size * 0.08, ground - size * 1.14),
            ),
            fill=255,
        )

    draw = draw_castle if castle else draw_lighthouse
    top = max(0, int(ground - size * 1.6))
    bottom = min(canvas.height, int(ground + (size * 0.9 if castle else 2)))
    canvas.blend_over(top, draw_silhouette(canvas, top, bottom, draw), blend(palette.near, palette.haze, 0.1))
    lamps = [(0.05, 0.8), (-0.2, 0.55), (0.3, 0.5), (0.07, 0.55)] if castle else [(0.0, 1.08)]
    for aside, high in lamps:
        reach = size * (0.05 if castle else 0.5)
        _lamp(canvas, x + aside * size, ground - high * size, reach)


def _draw_rock(pen: Pen, at: ToPixels, x: float, top: float, wide: float, tall: float) -> None:
    """A steep, uneven hill under a building."""
    outline = [(-1.0, 1.0), (-0.82, 0.62), (-0.7, 0.55), (-0.58, 0.12), (-0.2, 0.0), (0.35, 0.02), (0.6, 0.1)]
    outline += [(0.7, 0.48), (0.86, 0.6), (1.0, 1.0)]
    pen.polygon(at(*((x + aside * wide, top + down * tall) for aside, down in outline)), fill=255)


def _lamp(canvas: Canvas, x: float, y: float, reach: float) -> None:
    edge = int(reach * 2) + 2
    left, right = max(0, int(x) - edge), min(canvas.width, int(x) + edge)
    top, bottom = max(0, int(y) - edge), min(canvas.height, int(y) + edge)
    across = (np.arange(left, right, dtype=np.float32)[None, :] - x) / reach
    down = (np.arange(top, bottom, dtype=np.float32)[:, None] - y) / reach
    glow = np.clip(np.exp(-np.hypot(across, down) * 5) * 1.3, 0, 1)
    rows = canvas.rgb[top:bottom, left:right]
    rows += glow[..., None] * (parse_color("ffe2a0") - rows)
