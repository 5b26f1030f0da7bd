"""Ten thousand random games of Leela against a second implementation of the rules: a table of every square and roll."""

import random

import pytest

from services.leela.rules import ARROWS, HOME_SQUARE, SNAKES, Game, apply_roll

SNAKES_AS_PRINTED = "12 8, 16 4, 24 7, 29 6, 44 9, 52 35, 55 3, 61 13, 63 2, 72 51"
ARROWS_AS_PRINTED = "10 23, 17 69, 20 32, 22 60, 27 41, 28 50, 37 66, 45 67, 46 62, 54 68"


def parse_moves(text: str) -> dict[int, int]:
    return {int(pair.split()[0]): int(pair.split()[1]) for pair in text.split(", ")}


def table() -> dict[tuple[int, int], tuple[int, str]]:
    """Where the piece is after a roll from a square, and how it got there: all 72 times 6, written out."""
    found = {}
    for square in range(1, 73):
        for roll in range(1, 7):
            found[square, roll] = (square, "stop") if square + roll > 72 else (square + roll, "step")
    for kind, pairs in (("snake", parse_moves(SNAKES_AS_PRINTED)), ("arrow", parse_moves(ARROWS_AS_PRINTED))):
        for start, end in pairs.items():
            for roll in range(1, min(start - 1, 6) + 1):
                found[start - roll, roll] = (end, kind)
    for key, (square, kind) in found.items():
        if square == 68 and kind != "stop":
            found[key] = (68, "win")
    return found


TABLE = table()


class ReferenceGame:
    """Keeps the history of one game as a list, and looks up everything else."""

    def __init__(self) -> None:
        self.places: list[int | None] = [None]  # None: waits outside, on 68
        self.rolls: list[int] = []

    def roll(self, roll: int) -> tuple[int, str]:
        here = self.places[-1]
        if here == 68:
            self.places, self.rolls, here = [None], [], None
        self.rolls.append(roll)
        if self.rolls[-3:] == [6, 6, 6]:
            self.places.append(self.places[-3])
            self.rolls = []
            return self.places[-1] or 68, "snake"
        if here is None:
            place, kind = (6, "step") if roll == 6 else (None, "stop")
        else:
            place, kind = TABLE[here, roll]
        self.places.append(place)
        return place or 68, kind


def test_apply_roll_in_ten_thousand_games_agrees_with_the_reference() -> None:
    dice, directions = random.Random(72), set()
    for _ in range(10_000):
        game, referee = Game(), ReferenceGame()
        for _ in range(400):
            rolled = dice.randint(1, 6)
            move = apply_roll(game, rolled)
            assert (move.square, move.direction) == referee.roll(rolled)
            game = move.game
            directions.add(move.direction)
            if game.won:
                break
    assert directions == {"step", "snake", "arrow", "stop", "win"}


def test_snakes_and_arrows_are_those_of_the_printed_board() -> None:
    assert (parse_moves(SNAKES_AS_PRINTED), parse_moves(ARROWS_AS_PRINTED)) == (SNAKES, ARROWS)


def play_rolls(*rolls: int, start: Game | None = None) -> list[tuple[int, str]]:
    game = start or Game()
    found: list[tuple[int, str]] = []
    for roll in rolls:
        move = apply_roll(game, roll)
        game = move.game
        found.append((move.square, move.direction))
    return found


def game_at(square: int) -> Game:
    return Game(square, waiting=False)


@pytest.mark.parametrize("roll", range(1, 6))
def test_piece_outside_waits_for_a_six(roll: int) -> None:
    assert play_rolls(roll, roll, 6) == [(68, "stop"), (68, "stop"), (6, "step")]


def test_three_sixes_lead_back_to_where_the_first_began() -> None:
    assert play_rolls(6, 6, 6, start=game_at(30)) == [(36, "step"), (42, "step"), (30, "snake")]
    assert play_rolls(6, 6, 6, 6, start=game_at(30))[3] == (36, "step"), "the count starts again"
    assert play_rolls(6, 6, 1, 6, start=game_at(30))[3] == (49, "step"), "another roll ends the count"
    assert play_rolls(6, 6, 6) == [(6, "step"), (8, "snake"), (68, "snake")], "back to waiting outside"
    assert play_rolls(6, 6, 6, 1) [3] == (68, "stop")  # fmt: skip
    assert play_rolls(6, 6, 6, start=game_at(70)) == [(70, "stop"), (70, "stop"), (70, "snake")]


def test_square_54_leads_home_and_wins() -> None:
    assert play_rolls(4, start=game_at(50)) == [(68, "win")]
    assert apply_roll(game_at(50), 4).over == 54


def test_exact_roll_home_wins_and_a_new_game_waits_there() -> None:
    won = apply_roll(game_at(66), 2)
    assert (won.square, won.direction, won.game.won) == (HOME_SQUARE, "win", True)
    assert play_rolls(3, 6, start=won.game) == [(68, "stop"), (6, "step")]


def test_roll_past_the_end_leaves_the_piece() -> None:
    assert play_rolls(3, start=game_at(70)) == [(70, "stop")]
    assert play_rolls(2, start=game_at(70)) == [(51, "snake")]


@pytest.mark.parametrize("roll", [0, 7, -1])
def test_apply_roll_with_an_impossible_roll_raises(roll: int) -> None:
    with pytest.raises(ValueError, match="a die cannot show"):
        apply_roll(Game(), roll)
