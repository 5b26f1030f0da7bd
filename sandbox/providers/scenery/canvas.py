"""What a landscape is painted on, and silhouettes drawn for it with Pillow."""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from sandbox.providers.scenery.noise import Array, Rng

Pen = ImageDraw.ImageDraw
Point = tuple[float, float]
ToPixels = Callable[..., list[Point]]
_SUPERSAMPLING = 2
"""Silhouettes are drawn this many times larger, so that their edges are smooth."""


def parse_color(code: str) -> Array:
    """`f3c6c0` as red, green, blue from 0 to 1."""
    return np.array([int(code[place : place + 2], 16) / 255 for place in (0, 2, 4)], np.float32)


def blend(one: Array, other: Array, fraction: float) -> Array:
    return one + (other - one) * np.float32(fraction)


def shift_hue(color: Array, hue: float, *, saturation: float = 1.0) -> Array:
    """The colour with its hue turned (in turns) and its saturation scaled."""
    h, s, v = colorsys.rgb_to_hsv(*(float(part) for part in color))
    return np.array(colorsys.hsv_to_rgb((h + hue) % 1, min(1.0, s * saturation), v), np.float32)


@dataclass
class Canvas:
    """Red, green and blue from 0 to 1, row by row, and the randomness that paints it."""

    width: int
    height: int
    rng: Rng
    grain: Array
    """A tile of fractal noise that every painter shares."""
    rgb: Array = field(init=False)

    def __post_init__(self) -> None:
        self.rgb = np.zeros((self.height, self.width, 3), np.float32)

    def blend_over(self, top: int, alpha: Array, shade: Array) -> None:
        """Paint `shade` (one colour, one per row, or one per pixel) over the rows from `top`."""
        rows = self.rgb[top : top + alpha.shape[0]]
        rows += alpha[..., None] * (shade - rows)

    def add_light(self, top: int, light: Array, shade: Array) -> None:
        """Add light of a colour, which never leads past white."""
        rows = self.rgb[top : top + light.shape[0]]
        rows += light[..., None] * shade * (1 - np.minimum(rows, 1))


def draw_silhouette(canvas: Canvas, top: int, bottom: int, draw: Callable[[Pen, ToPixels], None]) -> Array:
    """How much each pixel of the rows from `top` to `bottom` is covered by what `draw` draws.

    `draw` gets a pen and a function that turns image coordinates into the pen's.
    """
    height = max(1, bottom - top)
    image = Image.new("L", (canvas.width * _SUPERSAMPLING, height * _SUPERSAMPLING))

    def at(*points: Point) -> list[Point]:
        return [(x * _SUPERSAMPLING, (y - top) * _SUPERSAMPLING) for x, y in points]

    draw(ImageDraw.Draw(image), at)
    small = image.reduce(_SUPERSAMPLING)
    return np.asarray(small, np.float32) / 255
