"""Draws what drawings.toml describes."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw

from sandbox.providers.images.theme import load_table

Array = npt.NDArray[Any]
"""Of a colour: red, green and blue, and where it is translucent alpha, from 0 to 255."""
_TABLES = load_table("drawings")


def rgb(code: str) -> Array:
    """A colour of six or eight hexadecimal digits."""
    return np.array(list(bytes.fromhex(code)), np.float32)


_Pair = tuple[float, float]
_Ink = tuple[int, ...]
_COLORS = {name: rgb(code) for name, code in _TABLES["colors"].items()}
_CHOICES = {name: [rgb(code) for code in codes.split()] for name, codes in _TABLES["choices"].items()}


def mix(one: Array, other: Array, part: float) -> Array:
    """`part` of the other colour and the rest of the one."""
    return one + (other - one) * np.float32(part)


def to_ink(color: Array) -> tuple[int, ...]:
    """A colour as Pillow takes it."""
    return tuple(int(value) for value in np.clip(color, 0, 255))


def choose_colors(name: str, rng: np.random.Generator, main: str | None) -> dict[str, Array]:
    """The colours of a drawing by their names; `main` is six hexadecimal digits, or None for a usual one."""
    dice = int(rng.integers(1 << 30))
    colors = _COLORS | {key: codes[dice % len(codes)] for key, codes in _CHOICES.items()}
    own = rgb(main) if main else colors.get(name, colors["main"])
    skin = {"shadow": colors["skin"] * 0.8, "blush": mix(colors["skin"], _COLORS["lips"], 0.3)}
    return colors | skin | {"main": own, "shade": own * 0.72, "tint": mix(own, rgb("fff4e2"), 0.55)}


def draw(pen: ImageDraw.ImageDraw, name: str, foot: _Pair, size: _Pair, ink: Callable[[str], _Ink]) -> None:
    """Draw a drawing that stands on `foot`. `size` is pixels for 100 units, negative across where it is mirrored."""
    for line in _TABLES["drawings"][name].strip().splitlines():
        kind, color, *numbers = line.split()
        for side in (1, -1) if kind.endswith("*") else (1,):
            scale = np.array([side * size[0], -size[1]]) / 100
            if kind == "use":
                draw(pen, color, foot, size, ink)
            else:
                _draw_shape(pen, kind.rstrip("*"), np.array(numbers, float), scale, np.array(foot), ink(color))


def _draw_shape(pen: ImageDraw.ImageDraw, kind: str, numbers: Array, scale: Array, foot: Array, ink: _Ink) -> None:
    points = numbers[len(numbers) % 2 :].reshape(-1, 2) * scale + foot
    if kind == "poly":
        pen.polygon(points.ravel().tolist(), ink)
    elif kind == "blob":
        pen.polygon(_smooth(np.concatenate([points[-1:], points, points[:2]])), ink)
    elif kind == "oval":
        radii = numbers[2:] * np.abs(scale)
        pen.ellipse([*(points[0] - radii), *(points[0] + radii)], ink)
    elif kind == "grid":
        step = (points[1] - points[0]) / numbers[4:] / 2
        for number, place in enumerate(itertools.product(range(int(numbers[4])), range(int(numbers[5])))):
            x, y = points[0] + 2 * step * place
            if hash((number, int(foot[0]))) % 13 < 7:
                pen.polygon((x, y, x + step[0], y, x + step[0], y + step[1], x, y + step[1]), ink)
    else:
        half = float(numbers[0] * np.abs(scale[1])) / 2
        pen.line(_smooth(np.concatenate([points[:1], points, points[-1:]])), ink, max(1, round(2 * half)), "curve")
        for x, y in points[[0, -1]]:
            pen.ellipse((x - half, y - half, x + half, y + half), ink)


def _smooth(points: Array) -> list[float]:
    """Points of a Catmull-Rom spline through all but the first and the last one."""
    a, b, c, d = (points[at : len(points) - 3 + at, None] for at in range(4))
    at = np.linspace(0, 1, 13)[:, None]
    curve = b + at * (c - a + at * (2 * a - 5 * b + 4 * c - d + at * (3 * b - a - 3 * c + d))) / 2
    return [float(number) for number in curve.ravel()]
