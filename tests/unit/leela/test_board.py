"""The board of Leela as an image: the same game gives the same image, another game another one."""

import io
import math

from PIL import Image, ImageChops

from services.leela.board import HEIGHT, WIDTH, draw_move, draw_path, square_center
from services.leela.rules import Game, Move, apply_roll


def moves(*rolls: int, game: Game | None = None) -> list[Move]:
    game, found_moves = game or Game(), []
    for rolled in rolls:
        found_moves.append(apply_roll(game, rolled))
        game = found_moves[-1].game
    return found_moves


def open_image(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def difference_box(one: bytes, other: bytes) -> tuple[int, int, int, int]:
    """The box in which two images differ more than compression makes them differ."""
    difference = (
        ImageChops.difference(open_image(one), open_image(other)).convert("L").point(lambda v: 255 * (v > 40))
    )
    box = difference.getbbox()
    assert box is not None
    return box


def test_square_center_alternates_direction_from_the_lower_left() -> None:
    assert square_center(1)[0] < square_center(9)[0]
    assert square_center(1)[1] > square_center(72)[1]
    assert square_center(9)[0] == square_center(10)[0]
    assert square_center(18)[0] == square_center(19)[0] == square_center(1)[0]
    assert square_center(72)[0] == square_center(1)[0]
    assert len({square_center(number) for number in range(1, 73)}) == 72
    assert all(math.isclose(math.dist(square_center(n), square_center(n + 1)), 108) for n in range(1, 72))


def test_draw_move_returns_a_photo_that_telegram_accepts() -> None:
    data = draw_move(68)
    image = open_image(data)
    assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))
    assert 900 <= WIDTH <= 1100
    assert len(data) < 1_000_000


def test_draw_move_of_the_same_game_returns_the_same_bytes() -> None:
    (move,) = moves(6)
    assert draw_move(6, move) == draw_move(6, move)
    path = moves(6, 4, 4, 4)
    assert draw_path(path, 67) == draw_path(path, 67)


def test_draw_move_puts_the_piece_on_its_square() -> None:
    left, top, right, bottom = difference_box(draw_move(1), draw_move(2))
    for number in (1, 2):
        x, y = square_center(number)
        assert left <= x <= right
        assert top <= y <= bottom
    assert right - left < 2 * 132
    assert bottom - top < 132


def test_draw_move_shows_the_trail_of_the_last_move() -> None:
    over_ten = apply_roll(Game(8, waiting=False), 2)
    left, top, right, bottom = difference_box(draw_move(23), draw_move(23, over_ten))
    for number in (8, 9, 10):
        x, y = square_center(number)
        assert left - 5 <= x <= right + 5
        assert top - 5 <= y <= bottom + 5


def test_draw_move_and_draw_path_draw_every_kind_of_move() -> None:
    stays = apply_roll(Game(70, waiting=False), 5)
    back = apply_roll(Game(42, waiting=False, sixes=2, before_sixes=(30, False)), 6)
    back_to_itself = apply_roll(Game(70, waiting=False, sixes=2, before_sixes=(70, False)), 6)
    outside = apply_roll(Game(8, waiting=False, sixes=2), 6)
    for move in (stays, back, back_to_itself, outside, *moves(1, 6), *moves(4, game=Game(50, waiting=False))):
        assert open_image(draw_move(move.square, move)).size == (WIDTH, HEIGHT)
        assert open_image(draw_path([move], move.square)).size == (WIDTH, HEIGHT)
    assert draw_path([], 68) == draw_path(moves(1, 2), 68)


def test_draw_path_of_a_longer_path_returns_another_image() -> None:
    path = moves(6, 4, 4, 4)
    assert draw_path(path, 67) != draw_path(path[:-1], 67)
