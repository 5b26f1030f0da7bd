"""Silhouettes drawn with Pillow at twice the size, so that their edges are smooth."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from providers.offline.scenery.canvas import Canvas
from providers.offline.scenery.noise import Array

SUPERSAMPLING = 2
Pen = ImageDraw.ImageDraw
Point = tuple[float, float]
ToPixels = Callable[..., list[Point]]


def draw_silhouette(canvas: Canvas, top: int, bottom: int, draw: Callable[[Pen, ToPixels], None]) -> Array:
    """How much each pixel of the rows from `top` to `bottom` is covered by what `draw` draws.

    `draw` gets a pen and a function that turns picture coordinates into the pen's.
    """
    height = max(1, bottom - top)
    image = Image.new("L", (canvas.width * SUPERSAMPLING, height * SUPERSAMPLING))

    def at(*points: Point) -> list[Point]:
        return [(x * SUPERSAMPLING, (y - top) * SUPERSAMPLING) for x, y in points]

    draw(ImageDraw.Draw(image), at)
    small = image.reduce(SUPERSAMPLING)
    return np.asarray(small, np.float32) / 255
