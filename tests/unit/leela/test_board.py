"""The board of Leela as a picture: the same game gives the same picture, another game another."""

import io
import math

from PIL import Image, ImageChops

from services.leela.board import HEIGHT, WIDTH, draw_move, draw_path, square_center
from services.leela.rules import Game, Move, apply_roll


def moves(*rolls: int, game: Game | None = None) -> list[Move]:
    game, made = game or Game(), []
    for rolled in rolls:
        made.append(apply_roll(game, rolled))
        game = made[-1].game
    return made


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def differing(one: bytes, other: bytes) -> tuple[int, int, int, int]:
    """The box in which two pictures differ more than compression makes them."""
    difference = ImageChops.difference(picture(one), picture(other)).convert("L").point(lambda v: 255 * (v > 40))
    box = difference.getbbox()
    assert box is not None
    return box


def test_squares_run_to_and_fro_from_the_lower_left() -> None:
    assert square_center(1)[0] < square_center(9)[0]
    assert square_center(1)[1] > square_center(72)[1]
    assert square_center(9)[0] == square_center(10)[0]
    assert square_center(18)[0] == square_center(19)[0] == square_center(1)[0]
    assert square_center(72)[0] == square_center(1)[0]
    assert len({square_center(number) for number in range(1, 73)}) == 72
    assert all(math.isclose(math.dist(square_center(n), square_center(n + 1)), 108) for n in range(1, 72))


def test_the_picture_is_a_photo_that_telegram_takes() -> None:
    data = draw_move(68)
    image = picture(data)
    assert (image.format, image.size) == ("JPEG", (WIDTH, HEIGHT))
    assert 900 <= WIDTH <= 1100
    assert len(data) < 1_000_000


def test_the_same_game_gives_the_same_picture() -> None:
    (move,) = moves(6)
    assert draw_move(6, move) == draw_move(6, move)
    way = moves(6, 4, 4, 4)
    assert draw_path(way, 67) == draw_path(way, 67)


def test_the_piece_stands_on_its_square() -> None:
    left, top, right, bottom = differing(draw_move(1), draw_move(2))
    for number in (1, 2):
        x, y = square_center(number)
        assert left <= x <= right
        assert top <= y <= bottom
    assert right - left < 2 * 132
    assert bottom - top < 132


def test_the_way_of_the_last_move_is_shown() -> None:
    over_ten = apply_roll(Game(8, waiting=False), 2)
    left, top, right, bottom = differing(draw_move(23), draw_move(23, over_ten))
    for number in (8, 9, 10):
        x, y = square_center(number)
        assert left - 5 <= x <= right + 5
        assert top - 5 <= y <= bottom + 5


def test_every_kind_of_move_can_be_drawn() -> None:
    stays = apply_roll(Game(70, waiting=False), 5)
    back = apply_roll(Game(42, waiting=False, sixes=2, before_sixes=(30, False)), 6)
    back_to_itself = apply_roll(Game(70, waiting=False, sixes=2, before_sixes=(70, False)), 6)
    outside = apply_roll(Game(8, waiting=False, sixes=2), 6)
    for move in (stays, back, back_to_itself, outside, *moves(1, 6), *moves(4, game=Game(50, waiting=False))):
        assert picture(draw_move(move.square, move)).size == (WIDTH, HEIGHT)
        assert picture(draw_path([move], move.square)).size == (WIDTH, HEIGHT)
    assert draw_path([], 68) == draw_path(moves(1, 2), 68)


def test_a_longer_path_is_another_picture() -> None:
    way = moves(6, 4, 4, 4)
    assert draw_path(way, 67) != draw_path(way[:-1], 67)
