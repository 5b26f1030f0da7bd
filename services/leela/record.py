"""Converts between the rules' objects (`Game`, `Move`) and database rows."""

from dataclasses import asdict
from typing import Any, Final

from pydantic import TypeAdapter

from services.leela.rules import Game, Move
from storage.leela import Awaits, MoveRow

_GAME_ADAPTER: Final = TypeAdapter(Game)


def game_from_state(state: dict[str, Any]) -> Game:
    """Convert a row's `state` to a game. Raises pydantic.ValidationError if it is not valid."""
    return _GAME_ADAPTER.validate_python(state)


def game_to_state(game: Game) -> dict[str, Any]:
    """Convert a game to JSON for a row's `state`."""
    return asdict(game)


def move_from_row(row: MoveRow, game: Game | None = None) -> Move:
    """Convert a row to a move.

    Args:
        row: The row.
        game: The game after the move. It is not part of the row and known only for the last move. If None, the move
            gets a game with the piece on its square and no sixes.
    """
    return Move(row.roll, row.start, row.over, row.square, row.direction, game or Game(row.square, waiting=False))


def move_to_row(move: Move, number: int) -> MoveRow:
    """Convert a move to a row without a report. `number` counts the game's moves from 1."""
    return MoveRow(number, move.roll, move.start, move.over, move.square, move.direction, None, None)


def awaits_after(move: Move) -> Awaits:
    """Return the next action after a move. There is no report while the piece waits for a six, or after a win."""
    return "roll" if move.game.waiting or move.game.won else "report"
