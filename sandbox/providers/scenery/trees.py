"""Pines near and far, palms, grass and flowers."""

import itertools
import math

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, Pen, Point, ToPixels, blend, draw_silhouette, parse_color
from sandbox.providers.scenery.noise import Array
from sandbox.providers.scenery.palette import Palette


def tree_line(canvas: Canvas, edge: Array, tall: float, density: float) -> Array:
    """The same edge with the tips of a far forest on it; `tall` is a tree's height in pixels."""
    rng, width = canvas.rng, canvas.width
    grown = edge.copy()
    wide = max(2.0, tall * 0.24)
    for _ in range(int(width / wide * density)):
        middle = float(rng.uniform(0, width))
        height = tall * float(rng.uniform(0.5, 1.15))
        left, right = max(0, int(middle - wide)), min(width, int(middle + wide) + 1)
        away = np.abs(np.arange(left, right) - middle) / wide
        teeth = 0.12 * np.abs((away * 3.5) % 1 - 0.5)
        tip = edge[min(int(middle), width - 1)] - height * np.clip(1 - away - teeth, 0, 1)
        grown[left:right] = np.minimum(grown[left:right], tip)
    return grown


def paint_pines(
    canvas: Canvas, palette: Palette, ground: Array, tall: float, count: int, clear: float, *, snowy: bool = False
) -> None:
    """Near pines standing on `ground`; `clear` is the part in the middle that stays open."""
    rng, width = canvas.rng, canvas.width
    places = rng.uniform(0, 1, count)
    side = np.where(places < 0.5, places * (1 - clear), 1 - (1 - places) * (1 - clear))
    sizes = tall * rng.uniform(0.32, 1.0, count) * (0.35 + 1.3 * np.abs(side - 0.5)) * 0.98
    feet = [float(ground[min(width - 1, int(part * width))]) for part in side]
    top = max(0, int(min(foot - size for foot, size in zip(feet, sizes, strict=True))) - 4)
    bottom = min(canvas.height, int(max(feet)) + 6)
    trees = sorted(zip(side * width, feet, sizes, strict=True), key=lambda tree: tree[1])

    def draw(pen: Pen, at: ToPixels) -> None:
        for x, foot, size in trees:
            _draw_pine(pen, at, float(x), foot + 3, float(size), rng)

    cover = draw_silhouette(canvas, top, bottom, draw)
    shade = blend(palette.near, palette.haze, 0.04)
    if snowy:
        rows = np.roll(cover, 3, axis=0)
        snow = np.clip(cover - rows, 0, 1)
        canvas.blend_over(top, cover, shade)
        canvas.blend_over(top, snow * 0.8, blend(palette.light, palette.haze, 0.4))
        return
    canvas.blend_over(top, cover, shade)


def _draw_pine(pen: Pen, at: ToPixels, x: float, foot: float, size: float, rng: np.random.Generator) -> None:
    wide = size * float(rng.uniform(0.16, 0.23))
    tiers = max(6, int(size / 13))
    pen.polygon(at((x - size * 0.012, foot), (x, foot - size), (x + size * 0.012, foot)), fill=255)
    left: list[Point] = []
    right: list[Point] = []
    for tier in range(tiers):
        part = (tier + 0.4) / tiers
        y = foot - size * (1 - part * 0.93)
        reach = wide * part**0.85
        inner = reach * 0.45
        droop = size / tiers * 0.75
        left += [(x - inner, y), (x - reach * float(rng.uniform(0.75, 1.1)), y + droop)]
        right += [(x + inner, y), (x + reach * float(rng.uniform(0.75, 1.1)), y + droop)]
    pen.polygon(at((x, foot - size), *right, *reversed(left)), fill=255)


def paint_palms(canvas: Canvas, palette: Palette, foot: float, tall: float, on_left: bool) -> None:
    """A few palms leaning in from one side."""
    rng = canvas.rng

    def draw(pen: Pen, at: ToPixels) -> None:
        for number in range(3):
            out = canvas.width * (0.05 + 0.09 * number + float(rng.uniform(-0.02, 0.02)))
            size = tall * float(rng.uniform(0.7, 1.0))
            lean = size * float(rng.uniform(0.1, 0.3))
            x, way = (out - canvas.width * 0.03, 1) if on_left else (canvas.width - out, -1)
            trunk = [(x + way * lean * part**2, foot - size * part) for part in np.linspace(0, 1, 12)]
            thick = size * 0.02
            for (x0, y0), (x1, y1) in itertools.pairwise(trunk):
                pen.line(at((x0, y0), (x1, y1)), fill=255, width=max(3, int(thick * 2)))
            _draw_palm_crown(pen, at, trunk[-1], size * 0.42, rng)

    top = max(0, int(foot - tall * 1.35))
    canvas.blend_over(top, draw_silhouette(canvas, top, min(canvas.height, int(foot) + 4), draw), palette.near)


def _draw_palm_crown(pen: Pen, at: ToPixels, crown: Point, reach: float, rng: np.random.Generator) -> None:
    x, y = crown
    parts = np.linspace(0, 1, 22)
    for turn in np.linspace(-0.25, math.pi + 0.25, 10):
        long = reach * float(rng.uniform(0.8, 1.1))
        out = math.cos(turn + float(rng.uniform(-0.08, 0.08)))
        rise = math.sin(turn)
        spine = [
            (x + out * long * part, y - rise * long * 0.75 * part + long * 0.62 * part**2.1) for part in parts
        ]
        pen.line(at(*spine), fill=255, width=4, joint="curve")
        for part, (px, py) in zip(parts[1:], spine[1:], strict=True):
            leaf = long * 0.2 * math.sin(math.pi * (0.12 + 0.83 * part))
            pen.line(at((px, py), (px + out * leaf * 0.55, py + leaf)), fill=255, width=3)
            pen.line(at((px, py), (px + out * leaf * 0.9, py + leaf * 0.15)), fill=255, width=3)


def paint_flowers(canvas: Canvas, palette: Palette, first: int, kinds: list[Array]) -> None:
    """Flowers over a meadow, small and close together far away, large near."""
    rng = canvas.rng
    span = canvas.height - first
    count = int(2600 * canvas.width / 1024)
    away = np.sort(rng.random(count) ** 1.5)
    for number in range(count):
        near = float(away[number])
        x, y = int(rng.uniform(0, canvas.width)), int(first + span * near)
        size = 1 + int(near * near * 11 * float(rng.uniform(0.5, 1.1)))
        shade = kinds[int(rng.integers(len(kinds)))]
        bright = blend(shade, palette.near, palette.dark * 0.75) * np.float32(rng.uniform(0.75, 1.1))
        bright = blend(bright, palette.haze, 0.3 * (1 - near))
        part = canvas.rgb[max(0, y - size) : y + 1, max(0, x - size // 2) : x + size // 2 + 1]
        part += 0.85 * (np.clip(bright, 0, 1) - part)


def paint_grass(canvas: Canvas, palette: Palette, ground: Array, tall: float, count: int) -> None:
    """Blades in the foreground."""
    rng = canvas.rng
    top = max(0, int(ground.min() - tall * 1.2))

    def draw(pen: Pen, at: ToPixels) -> None:
        for x in rng.uniform(0, canvas.width, count):
            foot = float(ground[min(canvas.width - 1, int(x))]) + 4
            size = tall * float(rng.uniform(0.3, 1.0))
            lean = size * float(rng.uniform(-0.35, 0.35))
            pen.polygon(at((x - 1.6, foot), (x + lean, foot - size), (x + 1.6, foot)), fill=255)

    canvas.blend_over(
        top, draw_silhouette(canvas, top, canvas.height, draw), blend(palette.near, parse_color("203018"), 0.15)
    )
