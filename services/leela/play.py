"""What a player of Leela does: begins, rolls, reports, begins anew. Each counts once, however often it is sent."""

from uuid import UUID, uuid4

from services.jobs.enqueue import launch, new_job_id
from services.leela.cards import REPORT_LENGTH
from services.leela.job import GAME_STEP
from services.leela.record import game_of, move_of, state_of
from services.leela.rules import Game, Move
from services.messaging.app_context import Studio
from storage.leela import GameRow, begin_game, end_game, get_moves, go_on, open_game, set_report
from storage.pool import Executor


async def begin(db: Executor, user_id: int, bot_name: str) -> GameRow:
    """The person's open game, or a new one."""
    game = await open_game(db, user_id)
    if game is None:
        await begin_game(db, new_job_id(), user_id, bot_name, state_of(Game()))
        game = await open_game(db, user_id)
    assert game is not None  # noqa: S101 - it was begun just now, and one person's updates come in turn
    return game


async def restart(studio: Studio, game_id: UUID, user_id: int, bot_name: str) -> GameRow:
    """End that game, if it is still open, and give the one that is open then: a new one, or what followed it."""
    async with studio.db.acquire() as connection, connection.transaction():
        await end_game(connection, game_id, user_id)
        return await begin(connection, user_id, bot_name)


async def roll(studio: Studio, game: GameRow, moves: int, *, bot_name: str, language: str) -> bool:
    """Have the die thrown that follows so many moves. False where it was, or where something else comes first."""
    async with studio.db.acquire() as connection, connection.transaction():
        if not await go_on(connection, game.id, moves, "roll", "dice"):
            return False
        inputs = {"task": "roll", "game": str(game.id), "move": moves + 1}
        await _send(connection, game, inputs, bot_name, language)
    return True


async def report(
    studio: Studio, game: GameRow, text: str, *, bot_name: str, language: str, thinking: int | None
) -> bool:
    """Keep the report of the square, and have it answered. False where none is awaited any more.

    `thinking` is the message that is to become the reply.
    """
    async with studio.db.acquire() as connection, connection.transaction():
        if not await set_report(connection, game.id, game.moves, text):
            return False
        inputs = {"task": "reply", "game": str(game.id), "move": game.moves, "thinking": thinking}
        await _send(connection, game, inputs, bot_name, language)
    return True


async def _send(db: Executor, game: GameRow, inputs: dict[str, object], bot_name: str, language: str) -> None:
    """The statement before it let nobody else through, so the errand's key need only be its own."""
    await launch(db, GAME_STEP, uuid4().hex, inputs, user_id=game.user_id, bot_name=bot_name, language=language)


def missing(text: str) -> int:
    """How many characters a report still lacks; spaces in a row count as one."""
    return max(0, REPORT_LENGTH - len(" ".join(text.split())))


async def moves_of(db: Executor, game: GameRow) -> list[Move]:
    """With where the last one left the game."""
    moves = [move_of(row) for row in await get_moves(db, game.id)]
    if not moves:
        return []
    last = moves[-1]
    return [*moves[:-1], Move(last.roll, last.start, last.over, last.square, last.direction, game_of(game.state))]
