"""A town on the horizon: rows of buildings, their windows lit the darker it is."""

import numpy as np

from sandbox.providers.scenery.canvas import Canvas, blend, parse_color
from sandbox.providers.scenery.noise import Array
from sandbox.providers.scenery.palette import Palette

_WINDOWS = ("ffd98a", "ffc46b", "ffe9bd", "bfe3ff", "ff9d6b")
_NEON = ("ff4fa3", "39e6ff", "a86bff", "ffd23f", "4dffb0")


def paint_city(canvas: Canvas, palette: Palette, ground: int, *, neon: bool) -> None:
    """Three rows of buildings standing on the row `ground`."""
    rng = canvas.rng
    centre = float(rng.uniform(0.3, 0.7)) * canvas.width
    tall = min(ground * 0.72, canvas.width * 0.62)
    for depth, part in ((0.25, 0.72), (0.6, 0.86), (1.0, 0.55)):
        x = -float(rng.uniform(0, 40))
        while x < canvas.width:
            wide = canvas.width * float(rng.uniform(0.028, 0.075)) * (0.7 + 0.5 * depth)
            hill = 0.35 + 0.65 * np.exp(-(((x - centre) / (canvas.width * 0.3)) ** 2))
            size = tall * part * hill * float(rng.uniform(0.4, 1.0))
            _building(canvas, palette, (int(x), ground - int(size), int(wide), int(size)), depth, neon=neon)
            x += wide * float(rng.uniform(0.75, 1.15))
        _mist(canvas, palette, ground, tall * 0.34, 0.5 * (1 - depth * 0.7))


def _building(
    canvas: Canvas, palette: Palette, box: tuple[int, int, int, int], depth: float, *, neon: bool
) -> None:
    left, top, wide, size = box
    right, left = min(canvas.width, left + wide), max(0, left)
    if right - left < 6 or size < 12:
        return
    rng = canvas.rng
    shade = blend(palette.haze, blend(palette.near, palette.sky[0], 0.25), 0.25 + 0.72 * depth)
    part = canvas.rgb[top : top + size, left:right]
    fade = np.linspace(1.0, 0.86, right - left, dtype=np.float32)[None, :, None]
    part[...] = shade * fade * (1 + 0.10 * float(rng.uniform(-1, 1)))
    _roof(canvas, shade, left, right, top, float(rng.random()))
    _windows(canvas, palette, (left, top, right - left, size), depth, neon=neon)


def _roof(canvas: Canvas, shade: Array, left: int, right: int, top: int, kind: float) -> None:
    wide = right - left
    if kind < 0.3:
        inset = wide // 4
        canvas.rgb[max(0, top - wide // 3) : top, left + inset : right - inset] = shade
    elif kind < 0.5:
        middle = (left + right) // 2
        canvas.rgb[max(0, top - wide) : top, middle : middle + 2] = shade
    elif kind < 0.62:
        for row in range(wide // 2):
            if top - row - 1 >= 0:
                canvas.rgb[top - row - 1, left + row : right - row] = shade


def _windows(
    canvas: Canvas, palette: Palette, box: tuple[int, int, int, int], depth: float, *, neon: bool
) -> None:
    left, top, wide, size = box
    rng = canvas.rng
    step = 5 + int(4 * depth)
    across, down = (wide - 4) // step, (size - 6) // (step + 2)
    if across < 1 or down < 1:
        return
    share = (0.12 + 0.5 * palette.dark) * float(rng.uniform(0.5, 1.1))
    lit = rng.random((down, across)) < share
    choices = _NEON if neon and rng.random() < 0.5 else _WINDOWS
    shade = parse_color(choices[int(rng.integers(len(choices)))])
    strong = rng.uniform(0.45, 1.0, (down, across)) * (0.35 + 0.65 * palette.dark) * (0.35 + 0.65 * depth)
    inside = max(2, step // 2)
    light = np.zeros((down, step + 2, across, step), np.float32)
    light[:, 2 : 2 + inside, :, 1 : 1 + inside] = (lit * strong)[:, None, :, None]
    grid = light.reshape(down * (step + 2), across * step)
    part = canvas.rgb[top + 4 : top + 4 + grid.shape[0], left + 2 : left + 2 + grid.shape[1]]
    part += grid[: part.shape[0], : part.shape[1], None] * (shade - part)
    if neon and depth == 1.0 and rng.random() < 0.7:
        _sign(canvas, left + wide - 5, top + 8, size)


def _sign(canvas: Canvas, x: int, top: int, size: int) -> None:
    """A vertical tube of neon and its glow."""
    rng = canvas.rng
    shade = parse_color(_NEON[int(rng.integers(len(_NEON)))])
    long = int(size * float(rng.uniform(0.2, 0.5)))
    reach = 16
    left, right = max(0, x - reach), min(canvas.width, x + reach)
    away = np.abs(np.arange(left, right) - x)
    glow = np.clip(np.exp(-away / 6.0) * 0.5 + (away < 2), 0, 1).astype(np.float32)
    rows = np.clip(np.minimum(np.arange(long), np.arange(long)[::-1]) / 8, 0, 1).astype(np.float32)
    canvas_part = canvas.rgb[top : top + long, left:right]
    light = (rows[:, None] * glow[None, :])[: canvas_part.shape[0]]
    canvas_part += light[..., None] * (shade - canvas_part)


def _mist(canvas: Canvas, palette: Palette, ground: int, tall: float, strong: float) -> None:
    top = max(0, int(ground - tall))
    rise = np.linspace(0, 1, ground - top, dtype=np.float32)[:, None] ** 2 * strong
    canvas.blend_over(
        top, np.broadcast_to(rise, (ground - top, canvas.width)), blend(palette.haze, palette.sky[3], 0.5)
    )
