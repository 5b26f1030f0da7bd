"""Silhouettes drawn with Pillow at twice the size, so that their edges are smooth."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from providers.offline.scenery.canvas import Canvas
from providers.offline.scenery.noise import Array

SCALE = 2
Pen = ImageDraw.ImageDraw
Point = tuple[float, float]
At = Callable[..., list[Point]]


def silhouette(canvas: Canvas, top: int, bottom: int, draw: Callable[[Pen, At], None]) -> Array:
    """How much each pixel of the rows from `top` to `bottom` is covered by what `draw` draws.

    `draw` gets a pen and a function that turns picture coordinates into the pen's.
    """
    height = max(1, bottom - top)
    image = Image.new("L", (canvas.width * SCALE, height * SCALE))

    def at(*points: Point) -> list[Point]:
        return [(x * SCALE, (y - top) * SCALE) for x, y in points]

    draw(ImageDraw.Draw(image), at)
    small = image.reduce(SCALE)
    return np.asarray(small, np.float32) / 255
