"""Draws the board of Leela: 72 squares in eight rows of alternating direction, snakes, arrows and the piece.

The empty board is drawn once per process, at a larger scale that is then reduced for smooth edges. The image of a game
is a copy with a few marks. The same game always produces the same bytes.
"""

import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Final

from PIL import Image, ImageDraw

from services.leela.drawing import (
    SUPERSAMPLING,
    Canvas,
    Color,
    Point,
    Snake,
    blend,
    draw_arrow,
    draw_lotus,
    draw_snake_body,
    draw_snake_head,
    draw_stars,
    interpolate,
)
from services.leela.rules import ARROWS, HOME_SQUARE, LAST_SQUARE, SNAKES, Move

_COLUMNS: Final = 9
_ROWS: Final = 8
_CELL_SIZE: Final = 108
_MARGIN: Final = 24
WIDTH: Final = _COLUMNS * _CELL_SIZE + 2 * _MARGIN
HEIGHT: Final = _ROWS * _CELL_SIZE + 2 * _MARGIN
"""The size of the image, in pixels."""
_JPEG_QUALITY: Final = 90

_BACKGROUND: Final = (22, 20, 48)
_GOLD: Final = (255, 214, 120)
_WHITE: Final = (255, 255, 255)
_OLD_MOVE: Final = (120, 170, 255)
_SNAKE_MOVE: Final = (255, 110, 110)
_ARROW_MOVE: Final = (140, 255, 170)
_OVERLAY_PADDING: Final = 20
"""The space around the points of a path for its marks, in pixels."""
_DOT_SPACING: Final = 18
"""The distance between the dots of a trail, in pixels."""
_ROW_COLORS: Final = (
    *((176, 58, 62), (201, 96, 52), (214, 150, 58), (94, 150, 84)),
    *((56, 140, 150), (58, 100, 172), (88, 76, 168), (134, 84, 168)),
)
"""The colour of each row, from bottom to top."""


def square_center(number: int) -> Point:
    """Return the centre of a square, in pixels.

    Args:
        number: 1 to 72. Square 1 is at the lower left, and every second row runs from right to left.
    """
    row, along = divmod(number - 1, _COLUMNS)
    column = along if row % 2 == 0 else _COLUMNS - 1 - along
    return _MARGIN + (column + 0.5) * _CELL_SIZE, _MARGIN + (_ROWS - row - 0.5) * _CELL_SIZE


def draw_move(square: int, move: Move | None = None) -> bytes:
    """Draw the board with the piece and its last move.

    Args:
        square: The piece's square.
        move: The last move, shown as a dotted trail; None to show none.

    Returns:
        A JPEG, `WIDTH` × `HEIGHT`.
    """
    image = _empty_board().copy()
    if move is not None and move.square != move.start:
        points = _move_points(move)
        with _overlay(image, points) as canvas:
            _draw_dotted_trail(canvas, points)
    _draw_piece(image, square_center(square))
    return _encode_jpeg(image)


def draw_path(moves: Sequence[Move], square: int) -> bytes:
    """Draw the board with all moves of a game, older moves fainter. Visited squares are highlighted.

    Args:
        moves: All moves, oldest first.
        square: The piece's square.

    Returns:
        A JPEG, `WIDTH` × `HEIGHT`.
    """
    image = Image.blend(_empty_board(), Image.new("RGB", (WIDTH, HEIGHT), _BACKGROUND), 0.35)
    steps = [move for move in moves if move.square != move.start]
    visits = Counter(each for move in steps for each in {move.over, move.square})
    for number in sorted(visits):
        _highlight_square(Canvas(image), number, visits[number])
    with _overlay(
        image, [point for move in steps for point in _move_points(move)] or [square_center(square)]
    ) as canvas:
        for age, move in enumerate(steps, 1):
            _draw_segment(
                canvas, _counted_points(move), blend(_OLD_MOVE, _GOLD, age / len(steps)), age / len(steps)
            )
            if move.over != move.square:
                color = _SNAKE_MOVE if move.direction == "snake" else _ARROW_MOVE
                _draw_segment(
                    canvas, [square_center(move.over), square_center(move.square)], color, age / len(steps)
                )
    _draw_piece(image, square_center(square))
    return _encode_jpeg(image)


def _counted_points(move: Move) -> list[Point]:
    """The squares passed by the roll. For entering the game and going back after three sixes, only the two ends."""
    counts = move.over - move.start == move.roll
    return [
        square_center(number)
        for number in (range(move.start, move.over + 1) if counts else (move.start, move.over))
    ]


def _move_points(move: Move) -> list[Point]:
    """The squares passed by the roll, and then the end of the snake or arrow, if there is one."""
    return (
        _counted_points(move) if move.square == move.over else [*_counted_points(move), square_center(move.square)]
    )


@contextmanager
def _overlay(image: Image.Image, points: Sequence[Point]) -> Iterator[Canvas]:
    """Yield a canvas for marks around these points, then smooth it and paste it onto the image."""
    left, top = (round(min(each[axis] for each in points)) - _OVERLAY_PADDING for axis in (0, 1))
    right, bottom = (round(max(each[axis] for each in points)) + _OVERLAY_PADDING for axis in (0, 1))
    layer = Image.new("RGBA", ((right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING), (*_BACKGROUND, 0))
    yield Canvas(layer, SUPERSAMPLING, (left, top))
    layer = layer.reduce(SUPERSAMPLING)
    image.paste(layer, (left, top), layer)


def _draw_dotted_trail(canvas: Canvas, points: list[Point]) -> None:
    """Draw dots along a line that grow towards the piece."""
    length = sum(math.dist(a, b) for a, b in pairwise(points))
    done = 0.0
    for a, b in pairwise(points):
        if (distance := math.dist(a, b)) == 0:
            continue
        for number in range(max(1, round(distance / _DOT_SPACING))):
            size = 3.5 + 3.5 * (done + number * _DOT_SPACING) / length
            canvas.disc(
                interpolate(a, b, min(1.0, number * _DOT_SPACING / distance)), size + 2, (*_BACKGROUND, 170)
            )
            canvas.disc(interpolate(a, b, min(1.0, number * _DOT_SPACING / distance)), size, (*_WHITE, 240))
        done += distance


def _draw_segment(canvas: Canvas, points: Sequence[Point], color: Color, recency: float) -> None:
    ink = (*color, round(90 + 150 * recency))
    canvas.line(points, 4 + 3 * recency, ink)
    canvas.disc(points[-1], 6 + 3 * recency, ink)


def _highlight_square(canvas: Canvas, number: int, visits: int) -> None:
    x, y = square_center(number)
    half = _CELL_SIZE / 2 - 5
    canvas.rounded_rectangle((x - half, y - half), (x + half, y + half), 14, (*_GOLD, min(150, 50 + 35 * visits)))
    _draw_number(canvas, number)


def _draw_piece(image: Image.Image, center: Point) -> None:
    """Draw a golden pawn in a ring of light, slightly above the centre so that it appears to stand."""
    glow = _piece_sprite()
    x, y = center
    image.paste(glow, (round(x - glow.width / 2), round(y - glow.height / 2)), glow)


@cache
def _piece_sprite() -> Image.Image:
    size = 132
    image = Image.new("RGBA", (size * SUPERSAMPLING, size * SUPERSAMPLING), (255, 236, 170, 0))
    pen = ImageDraw.Draw(image)
    middle = size * SUPERSAMPLING / 2

    def disc(x: float, y: float, radius: float, colour: tuple[int, int, int, int], flat: float = 1.0) -> None:
        cx, cy, wide, high = (
            middle + x * SUPERSAMPLING,
            middle + y * SUPERSAMPLING,
            radius * SUPERSAMPLING,
            radius * flat * SUPERSAMPLING,
        )
        pen.ellipse((cx - wide, cy - high, cx + wide, cy + high), colour)

    for radius in range(64, 30, -1):
        disc(0, 0, radius, (255, 236, 170, round(150 * ((64 - radius) / 34) ** 1.6)))
    disc(0, 27, 25, (30, 20, 40, 190), 0.42)
    for inset, colour in ((0, (120, 70, 10)), (2.5, (244, 180, 52))):
        body = [(-21 + inset, 25 - inset), (-8 + inset, -8), (8 - inset, -8), (21 - inset, 25 - inset)]
        pen.polygon([(middle + x * SUPERSAMPLING, middle + y * SUPERSAMPLING) for x, y in body], (*colour, 255))
        disc(0, 25, 21 - inset, (*colour, 255), 0.38)
        disc(0, -19, 16 - inset, (*colour, 255))
        disc(0, -5, 13 - inset, (*colour, 255), 0.36)
    disc(-5, -24, 5, (255, 246, 214, 235))
    return image.resize((size, size), Image.Resampling.LANCZOS)


@cache
def _empty_board() -> Image.Image:
    image = Image.new("RGB", (WIDTH * SUPERSAMPLING, HEIGHT * SUPERSAMPLING), _BACKGROUND)
    canvas = Canvas(image, SUPERSAMPLING)
    draw_stars(canvas, WIDTH, HEIGHT)
    for number in range(1, LAST_SQUARE + 1):
        _draw_square(canvas, number)
    draw_lotus(canvas, square_center(HOME_SQUARE), _CELL_SIZE * 0.36)
    for begin, end in ARROWS.items():
        draw_arrow(canvas, square_center(begin), square_center(end))
    snakes = [
        Snake(square_center(begin), square_center(end), order) for order, (begin, end) in enumerate(SNAKES.items())
    ]
    for snake in snakes:
        draw_snake_body(canvas, snake)
    for snake in snakes:
        draw_snake_head(canvas, snake)
    for number in range(1, LAST_SQUARE + 1):
        _draw_number(canvas, number)
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _draw_square(canvas: Canvas, number: int) -> None:
    x, y = square_center(number)
    row, along = divmod(number - 1, _COLUMNS)
    plane = blend(_ROW_COLORS[row], _ROW_COLORS[min(row + 1, _ROWS - 1)], along / _COLUMNS / 2)
    half = _CELL_SIZE / 2 - 4
    light = blend(plane, _WHITE, 0.16 if (row + along) % 2 else 0.05)
    canvas.rounded_rectangle(
        (x - half, y - half), (x + half, y + half), 15, (*blend(plane, _BACKGROUND, 0.45), 255)
    )
    canvas.rounded_rectangle((x - half + 2, y - half + 2), (x + half - 2, y + half - 3), 13, (*light, 255))
    if number in SNAKES or number in ARROWS:
        edge = (255, 150, 140) if number in SNAKES else _GOLD
        canvas.rounded_outline((x - half + 4, y - half + 4), (x + half - 4, y + half - 5), 11, (*edge, 220))


def _draw_number(canvas: Canvas, number: int) -> None:
    x, y = square_center(number)
    corner = x - _CELL_SIZE / 2 + 13, y - _CELL_SIZE / 2 + 10
    canvas.text((corner[0] + 1.5, corner[1] + 1.5), str(number), 24, (*_BACKGROUND, 190))
    canvas.text(corner, str(number), 24, (*_WHITE, 255))


def _encode_jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return out.getvalue()
