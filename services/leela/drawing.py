"""A canvas for the board of Leela, and its decorations: stars, the lotus of the home square, arrows and snakes.

All lengths are in pixels of the finished image.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

from PIL import Image, ImageDraw, ImageFont

SUPERSAMPLING: Final = 2
"""Cached images are drawn at this scale and then reduced, for smooth edges."""
Point = tuple[float, float]
Color = tuple[int, int, int]
"""Red, green, blue: 0 to 255."""
Ink = tuple[int, int, int, int]
"""A colour and its opacity: 0 to 255."""

_SNAKE_COLORS: Final = (
    *((38, 132, 92), (150, 46, 92), (52, 96, 168), (140, 84, 30), (98, 62, 150)),
    *((24, 122, 134), (160, 60, 44), (84, 122, 40), (170, 92, 132), (66, 74, 96)),
)
_SPINE_SEGMENTS: Final = 90
_GOLD: Final = (255, 206, 96)


class Canvas:
    """Draws on an image. On an image without an alpha channel, translucent ink is blended with the background.

    Args:
        image: The image.
        scale: The scale of the image relative to the finished image.
        origin: The position of the image's upper left corner in the finished image.
    """

    def __init__(self, image: Image.Image, scale: int = 1, origin: Point = (0, 0)) -> None:
        self._scale = scale
        self._origin = origin
        self._pen = ImageDraw.Draw(image, "RGBA")

    def disc(self, center: Point, radius: float, ink: Ink) -> None:
        """Fill a circle."""
        x, y = center
        self._pen.ellipse(self._to_pixels(((x - radius, y - radius), (x + radius, y + radius))), ink)

    def line(self, points: Sequence[Point], width: float, ink: Ink) -> None:
        """Draw a line through all points, with round joins."""
        self._pen.line(self._to_pixels(points), ink, round(width * self._scale), joint="curve")

    def polygon(self, points: Sequence[Point], ink: Ink) -> None:
        """Fill a polygon."""
        self._pen.polygon(self._to_pixels(points), ink)

    def rounded_rectangle(self, begin: Point, end: Point, radius: float, ink: Ink) -> None:
        """Fill a rectangle with rounded corners, from its upper left to its lower right corner."""
        self._pen.rounded_rectangle(self._to_pixels((begin, end)), radius * self._scale, ink)

    def rounded_outline(self, begin: Point, end: Point, radius: float, ink: Ink) -> None:
        """Draw the outline of a rectangle with rounded corners, 2 pixels wide."""
        box = self._to_pixels((begin, end))
        self._pen.rounded_rectangle(box, radius * self._scale, outline=ink, width=2 * self._scale)

    def text(self, position: Point, text: str, size: int, ink: Ink) -> None:
        """Draw text in Pillow's built-in font. `position` is its upper left corner."""
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
    """Return a point between two points. `fraction` is 0 at the first and 1 at the second."""
    return a[0] + (b[0] - a[0]) * fraction, a[1] + (b[1] - a[1]) * fraction


def blend(a: Color, b: Color, fraction: float) -> Color:
    """Mix two colours. `fraction` is 0 for the first and 1 for the second."""
    red, green, blue = (round(x + (y - x) * fraction) for x, y in zip(a, b, strict=True))
    return red, green, blue


def draw_stars(canvas: Canvas, width: float, height: float) -> None:
    """Draw the night sky behind the board. The stars are always the same."""
    rng = random.Random(72)
    for _ in range(260):
        center = rng.uniform(0, width), rng.uniform(0, height)
        canvas.disc(center, rng.uniform(0.5, 1.6), (255, 250, 230, rng.randint(60, 220)))


def draw_lotus(canvas: Canvas, center: Point, radius: float) -> None:
    """Draw two rings of petals around a golden centre."""
    x, y = center
    for petals, length, ink in ((12, radius, (255, 190, 226, 235)), (8, radius * 0.72, (255, 226, 244, 245))):
        for number in range(petals):
            angle = 2 * math.pi * number / petals + (0.2 if petals == 8 else 0)
            canvas.polygon(_petal(x, y, angle, length, length * 0.23), ink)
    canvas.disc(center, radius * 0.24, (*_GOLD, 255))
    canvas.disc(center, radius * 0.14, (255, 246, 206, 255))


def _petal(x: float, y: float, angle: float, length: float, half_width: float) -> list[Point]:
    outline = []
    for side in (1, -1):
        steps = range(13) if side == 1 else range(12, -1, -1)
        for step in steps:
            along = length * step / 12
            across = side * half_width * math.sin(math.pi * (step / 12) ** 0.8)
            outline.append(
                (
                    x + along * math.cos(angle) - across * math.sin(angle),
                    y + along * math.sin(angle) + across * math.cos(angle),
                )
            )
    return outline


def draw_arrow(canvas: Canvas, begin: Point, end: Point) -> None:
    """Draw a golden arrow with feathers, from just inside one square to just inside another.

    Args:
        canvas: The canvas.
        begin: The centre of the square where the arrow begins.
        end: The centre of the square where it ends.
    """
    length = math.dist(begin, end)
    tail, tip = interpolate(begin, end, 20 / length), interpolate(begin, end, 1 - 18 / length)
    angle = math.atan2(tip[1] - tail[1], tip[0] - tail[0])
    neck = interpolate(tip, tail, 20 / math.dist(tip, tail))
    for grow, ink in ((2.2, (62, 38, 8, 255)), (0.0, (*_GOLD, 255))):
        canvas.line([tail, neck], 5 + 2 * grow, ink)
        head = [_offset_point(tip, angle, grow * 1.6, 0), _offset_point(neck, angle, -4 - grow, 12 + grow * 1.3)]
        canvas.polygon([*head, neck, _offset_point(neck, angle, -4 - grow, -12 - grow * 1.3)], ink)
        for back in (0.0, 9.0, 18.0):
            for side in (1, -1):
                canvas.line(
                    [_offset_point(tail, angle, back, 0), _offset_point(tail, angle, back - 9, side * 9)],
                    3.4 + grow,
                    ink,
                )


def _offset_point(point: Point, angle: float, along: float, across: float) -> Point:
    x, y = point
    return (
        x + along * math.cos(angle) - across * math.sin(angle),
        y + along * math.sin(angle) + across * math.cos(angle),
    )


@dataclass(frozen=True)
class Snake:
    """A snake on the board.

    Attributes:
        head: The centre of the square where the snake begins.
        tail: The centre of the square where it ends.
        index: The number of the snake, which determines its colour and the direction of its curves.
    """

    head: Point
    tail: Point
    index: int

    @property
    def color(self) -> Color:
        """The colour of the snake."""
        return _SNAKE_COLORS[self.index % len(_SNAKE_COLORS)]


def draw_snake_body(canvas: Canvas, snake: Snake) -> None:
    """Draw the winding body, thinner towards the tail, with a dark edge and spots."""
    spine = _spine(snake.head, snake.tail, snake.index)
    widths = [13 * (1 - 0.72 * number / _SPINE_SEGMENTS) for number in range(len(spine))]
    _stroke(canvas, spine, [width + 2.5 for width in widths], (24, 16, 34, 255))
    _stroke(canvas, spine, widths, (*snake.color, 255))
    _stroke(canvas, spine, [width * 0.5 for width in widths], (*blend(snake.color, (255, 255, 255), 0.22), 255))
    for number in range(8, len(spine) - 6, 6):
        canvas.disc(spine[number], widths[number] * 0.3, (255, 228, 150, 255))


def _spine(head: Point, tail: Point, index: int) -> list[Point]:
    length = math.dist(head, tail)
    angle = math.atan2(tail[1] - head[1], tail[0] - head[0])
    waves = max(1, round(length / 170))
    swing = (22 if length > 200 else 15) * (1 if index % 2 else -1)
    points = []
    for number in range(_SPINE_SEGMENTS + 1):
        fraction = number / _SPINE_SEGMENTS
        bend = swing * math.sin(2 * math.pi * waves * fraction) * min(1.0, 4 * fraction, 4 * (1 - fraction))
        points.append(_offset_point(interpolate(head, tail, fraction), angle, 0, bend))
    return points


def _stroke(canvas: Canvas, spine: list[Point], widths: list[float], ink: Ink) -> None:
    for number, (a, b) in enumerate(pairwise(spine)):
        for fraction in (0.0, 0.34, 0.67):
            canvas.disc(interpolate(a, b, fraction), widths[number] / 1.5, ink)


def draw_snake_head(canvas: Canvas, snake: Snake) -> None:
    """Draw the head with a forked tongue. Draw all bodies before any head, so that no body covers one."""
    spine, skin = _spine(snake.head, snake.tail, snake.index), snake.color
    head, neck = spine[0], spine[6]
    angle = math.atan2(head[1] - neck[1], head[0] - neck[0])
    for fork in (0.35, -0.35):
        root = _offset_point(head, angle, 20, 0)
        canvas.line(
            [_offset_point(head, angle, 8, 0), root, _offset_point(root, angle + fork, 9, 0)],
            2.2,
            (255, 92, 92, 255),
        )
    for grow, ink in ((2.5, (24, 16, 34, 255)), (0.0, (*blend(skin, (255, 255, 255), 0.12), 255))):
        for along, radius in ((-2.0, 13.0), (5.0, 11.5), (10.0, 9.0)):
            canvas.disc(_offset_point(head, angle, along, 0), radius + grow, ink)
    for side in (1, -1):
        canvas.disc(_offset_point(head, angle, 4, side * 6.5), 4, (255, 252, 236, 255))
        canvas.disc(_offset_point(head, angle, 5.5, side * 6.5), 2, (20, 12, 20, 255))
