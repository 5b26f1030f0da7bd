"""A game of Leela between what the rules know of it and what the database keeps."""

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from services.leela.rules import Game, Move
from storage.leela import Awaits, MoveRow

_GAME_ADAPTER = TypeAdapter(Game)


def game_from_state(state: dict[str, Any]) -> Game:
    return _GAME_ADAPTER.validate_python(state)


def game_to_state(game: Game) -> dict[str, Any]:
    return asdict(game)


def move_from_row(row: MoveRow, game: Game | None = None) -> Move:
    """The move as it was; `game` is what it led to, where somebody needs that."""
    return Move(row.roll, row.start, row.over, row.square, row.direction, game or Game(row.square, waiting=False))


def move_to_row(move: Move, number: int) -> MoveRow:
    return MoveRow(number, move.roll, move.start, move.over, move.square, move.direction, None, None)


def awaits_after(move: Move) -> Awaits:
    """A piece that waits outside for its six has no square to tell of, and neither has one that is home."""
    return "roll" if move.game.waiting or move.game.won else "report"
