"""What a landscape is painted on."""

import colorsys
from dataclasses import dataclass, field

import numpy as np

from providers.offline.scenery.noise import Array, Rng


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
        """Paint `shade` (one colour, one a row, or one a pixel) over the rows from `top`."""
        rows = self.rgb[top : top + alpha.shape[0]]
        rows += alpha[..., None] * (shade - rows)

    def add_light(self, top: int, light: Array, shade: Array) -> None:
        """Add light of a colour, which never leads past white."""
        rows = self.rgb[top : top + light.shape[0]]
        rows += light[..., None] * shade * (1 - np.minimum(rows, 1))
