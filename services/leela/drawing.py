"""A pen whose marks may be translucent, in units of the finished picture."""

from collections.abc import Sequence
from functools import cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

SUPERSAMPLING: Final = 2
"""What is drawn once is drawn this much larger and then made smaller, which smooths its edges."""
Point = tuple[float, float]
Color = tuple[int, int, int]
Ink = tuple[int, int, int, int]


class Canvas:
    """Draws on an image. On one without an alpha channel translucent ink lets through what lies below."""

    def __init__(self, image: Image.Image, scale: int = 1, origin: Point = (0, 0)) -> None:
        self._scale = scale
        self._origin = origin
        self._pen = ImageDraw.Draw(image, "RGBA")

    def disc(self, center: Point, radius: float, ink: Ink) -> None:
        x, y = center
        self._pen.ellipse(self._to_pixels(((x - radius, y - radius), (x + radius, y + radius))), ink)

    def line(self, points: Sequence[Point], width: float, ink: Ink) -> None:
        self._pen.line(self._to_pixels(points), ink, round(width * self._scale), joint="curve")

    def polygon(self, points: Sequence[Point], ink: Ink) -> None:
        self._pen.polygon(self._to_pixels(points), ink)

    def rounded_rectangle(self, begin: Point, end: Point, radius: float, ink: Ink) -> None:
        self._pen.rounded_rectangle(self._to_pixels((begin, end)), radius * self._scale, ink)

    def rounded_outline(self, begin: Point, end: Point, radius: float, ink: Ink) -> None:
        box = self._to_pixels((begin, end))
        self._pen.rounded_rectangle(box, radius * self._scale, outline=ink, width=2 * self._scale)

    def text(self, position: Point, text: str, size: int, ink: Ink) -> None:
        self._pen.text(self._to_pixels((position,))[0], text, ink, _font(size * self._scale))

    def _to_pixels(self, points: Sequence[Point]) -> list[Point]:
        left, top = self._origin
        return [((x - left) * self._scale, (y - top) * self._scale) for x, y in points]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # noqa: S101 - Pillow's wheels have FreeType
    return font


def interpolate(a: Point, b: Point, fraction: float) -> Point:
    return a[0] + (b[0] - a[0]) * fraction, a[1] + (b[1] - a[1]) * fraction


def blend(a: Color, b: Color, fraction: float) -> Color:
    red, green, blue = (round(x + (y - x) * fraction) for x, y in zip(a, b, strict=True))
    return red, green, blue
