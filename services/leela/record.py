"""A game of Leela between the rules, which know `Game` and `Move`, and the database, which keeps rows."""

from dataclasses import asdict
from typing import Any, Final

from pydantic import TypeAdapter

from services.leela.rules import Game, Move
from storage.leela import Awaits, MoveRow

_GAME_ADAPTER: Final = TypeAdapter(Game)


def game_from_state(state: dict[str, Any]) -> Game:
    """The game that a row's `state` describes. Raises pydantic.ValidationError where it describes none."""
    return _GAME_ADAPTER.validate_python(state)


def game_to_state(game: Game) -> dict[str, Any]:
    """The game as JSON, for a row's `state`."""
    return asdict(game)


def move_from_row(row: MoveRow, game: Game | None = None) -> Move:
    """The move that a row describes.

    Args:
        row: The row.
        game: The game after the move, which a row does not hold; only the last move's is known. Without it the
            move has a game in which the piece just stands on its square.
    """
    return Move(row.roll, row.start, row.over, row.square, row.direction, game or Game(row.square, waiting=False))


def move_to_row(move: Move, number: int) -> MoveRow:
    """The row of a move without a report; `number` counts the game's moves from 1."""
    return MoveRow(number, move.roll, move.start, move.over, move.square, move.direction, None, None)


def awaits_after(move: Move) -> Awaits:
    """What comes after a move. A piece that waits for its six, or is home, stands on no square to report on."""
    return "roll" if move.game.waiting or move.game.won else "report"
