"""Games of Leela: one open game per user, and its moves. Each change is one conditional statement."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import asyncpg

from storage.pool import Executor

Awaits = Literal["roll", "dice", "report", "reply"]

_GAME = "id, user_id, state, awaits, moves, ended_at IS NOT NULL AS ended"
_MOVE = "number, roll, start, over, square, direction, report, reply"

_OPEN = f"SELECT {_GAME} FROM leela_games WHERE user_id = $1 AND ended_at IS NULL"  # noqa: S608
_GET = f"SELECT {_GAME} FROM leela_games WHERE id = $1 AND user_id = $2"  # noqa: S608
_START = """
INSERT INTO leela_games (id, user_id, bot_name, state) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) WHERE ended_at IS NULL DO NOTHING"""
_END = "UPDATE leela_games SET ended_at = now() WHERE id = $1 AND user_id = $2 AND ended_at IS NULL RETURNING true"

_ADVANCE = """
UPDATE leela_games SET awaits = $4
WHERE id = $1 AND moves = $2 AND awaits = $3 AND ended_at IS NULL RETURNING true"""

_ADD_MOVE = """
WITH moved AS (
    UPDATE leela_games SET state = $8, awaits = $9, moves = $2, ended_at = CASE WHEN $10 THEN now() END
    WHERE id = $1 AND moves = $2 - 1 AND awaits = 'dice' AND ended_at IS NULL RETURNING id)
INSERT INTO leela_moves (game_id, number, roll, start, over, square, direction)
SELECT id, $2, $3, $4, $5, $6, $7 FROM moved RETURNING true"""

_SET_REPORT = """
WITH reported AS (
    UPDATE leela_games SET awaits = 'reply'
    WHERE id = $1 AND moves = $2 AND awaits = 'report' AND ended_at IS NULL RETURNING id)
UPDATE leela_moves m SET report = $3
FROM reported WHERE m.game_id = reported.id AND m.number = $2 RETURNING true"""

_REJECT_REPORT = """
WITH rejected AS (
    UPDATE leela_games SET awaits = 'report'
    WHERE id = $1 AND moves = $2 AND awaits = 'reply' AND ended_at IS NULL RETURNING id)
UPDATE leela_moves m SET report = NULL FROM rejected WHERE m.game_id = rejected.id AND m.number = $2"""

_SET_REPLY = """
WITH answered AS (
    UPDATE leela_games SET awaits = 'roll'
    WHERE id = $1 AND moves = $2 AND awaits = 'reply' AND ended_at IS NULL RETURNING id)
UPDATE leela_moves m SET reply = $3 FROM answered WHERE m.game_id = answered.id AND m.number = $2"""

_GET_MOVE = f"SELECT {_MOVE} FROM leela_moves WHERE game_id = $1 AND number = $2"  # noqa: S608
_MOVES = f"SELECT {_MOVE} FROM leela_moves WHERE game_id = $1 ORDER BY number"  # noqa: S608


@dataclass(frozen=True)
class GameRow:
    """A game. `awaits` is what comes next. `moves` counts the moves made, so it is also the number of the last one."""

    id: UUID
    user_id: int
    state: dict[str, Any]
    awaits: Awaits
    moves: int
    ended: bool


@dataclass(frozen=True)
class MoveRow:
    """A move from `start` to `over`, and if a snake or an arrow begins there, on to `square`."""

    number: int
    roll: int
    start: int
    over: int
    square: int
    direction: Literal["step", "snake", "arrow", "stop", "win"]
    report: str | None
    reply: str | None


def _game(row: asyncpg.Record | None) -> GameRow | None:
    return None if row is None else GameRow(**dict(row))


async def get_open_game(db: Executor, user_id: int) -> GameRow | None:
    """The game that the user is playing, if any."""
    return _game(await db.fetchrow(_OPEN, user_id))


async def get_game(db: Executor, game_id: UUID, user_id: int) -> GameRow | None:
    """The user's game with this id, if there is one."""
    return _game(await db.fetchrow(_GET, game_id, user_id))


async def start_game(db: Executor, game_id: UUID, user_id: int, bot_name: str, state: dict[str, Any]) -> None:
    """Create a game, unless the user has an open one."""
    await db.execute(_START, game_id, user_id, bot_name, state)


async def end_game(db: Executor, game_id: UUID, user_id: int) -> bool:
    """End the game. False if it has already ended."""
    return bool(await db.fetchval(_END, game_id, user_id))


async def advance_game(db: Executor, game_id: UUID, moves: int, expected: Awaits, awaits: Awaits) -> bool:
    """Change what the game awaits from `expected` to `awaits`. False if it awaits something else or has moved on."""
    return bool(await db.fetchval(_ADVANCE, game_id, moves, expected, awaits))


async def add_move(
    db: Executor, game_id: UUID, move: MoveRow, state: dict[str, Any], awaits: Awaits, *, won: bool
) -> bool:
    """Store a move after the die was rolled.

    Args:
        db: The pool or a connection.
        game_id: The game.
        move: The move, with its number.
        state: The state of the game after the move.
        awaits: What comes next.
        won: Whether the game ends with this move.

    Returns:
        False if the game does not await the die, or this move is already stored.
    """
    columns = move.number, move.roll, move.start, move.over, move.square, move.direction
    return bool(await db.fetchval(_ADD_MOVE, game_id, *columns, state, awaits, won))


async def set_report(db: Executor, game_id: UUID, number: int, report: str) -> bool:
    """Store the user's report on a move. False if the game does not await it."""
    return bool(await db.fetchval(_SET_REPORT, game_id, number, report))


async def reject_report(db: Executor, game_id: UUID, number: int) -> None:
    """Remove a report that moderation rejected. The game then awaits another one."""
    await db.execute(_REJECT_REPORT, game_id, number)


async def set_reply(db: Executor, game_id: UUID, number: int, reply: str) -> None:
    """Store our reply to a report. The game then awaits the next roll."""
    await db.execute(_SET_REPLY, game_id, number, reply)


async def get_move(db: Executor, game_id: UUID, number: int) -> MoveRow | None:
    """One move of a game, if it was made."""
    row = await db.fetchrow(_GET_MOVE, game_id, number)
    return None if row is None else MoveRow(**dict(row))


async def get_moves(db: Executor, game_id: UUID) -> list[MoveRow]:
    """All moves of a game, in order."""
    return [MoveRow(**dict(row)) for row in await db.fetch(_MOVES, game_id)]
