"""What a player of Leela does: begins, rolls, reports, begins anew. Each counts once, however often it is sent."""

from uuid import UUID, uuid4

from services.jobs.enqueue import enqueue, new_job_id
from services.leela.cards import MIN_REPORT_LENGTH
from services.leela.job import GAME_STEP
from services.leela.record import game_from_state, game_to_state, move_from_row
from services.leela.rules import Game, Move
from services.messaging.app_context import AppContext
from storage.leela import GameRow, advance_game, end_game, get_moves, get_open_game, set_report, start_game
from storage.pool import Executor


async def get_or_start_game(db: Executor, user_id: int, bot_name: str) -> GameRow:
    """The person's open game, or a new one."""
    game = await get_open_game(db, user_id)
    if game is None:
        await start_game(db, new_job_id(), user_id, bot_name, game_to_state(Game()))
        game = await get_open_game(db, user_id)
    assert game is not None  # noqa: S101 - it was begun just now, and one person's updates come in turn
    return game


async def restart_game(studio: AppContext, game_id: UUID, user_id: int, bot_name: str) -> GameRow:
    """End that game, if it is still open, and give the one that is open then: a new one, or what followed it."""
    async with studio.db.acquire() as connection, connection.transaction():
        await end_game(connection, game_id, user_id)
        return await get_or_start_game(connection, user_id, bot_name)


async def request_roll(studio: AppContext, game: GameRow, moves: int, *, bot_name: str, language: str) -> bool:
    """Have the die thrown that follows so many moves. False where it was, or where something else comes first."""
    async with studio.db.acquire() as connection, connection.transaction():
        if not await advance_game(connection, game.id, moves, "roll", "dice"):
            return False
        inputs = {"task": "roll", "game": str(game.id), "move": moves + 1}
        await _enqueue_step(connection, game, inputs, bot_name, language)
    return True


async def save_report(
    studio: AppContext, game: GameRow, text: str, *, bot_name: str, language: str, placeholder_id: int | None
) -> bool:
    """Keep the report of the square, and have it answered. False where none is awaited any more.

    `thinking` is the message that is to become the reply.
    """
    async with studio.db.acquire() as connection, connection.transaction():
        if not await set_report(connection, game.id, game.moves, text):
            return False
        inputs = {"task": "reply", "game": str(game.id), "move": game.moves, "thinking": placeholder_id}
        await _enqueue_step(connection, game, inputs, bot_name, language)
    return True


async def _enqueue_step(
    db: Executor, game: GameRow, inputs: dict[str, object], bot_name: str, language: str
) -> None:
    """The statement before it let nobody else through, so the errand's key need only be its own."""
    await enqueue(db, GAME_STEP, uuid4().hex, inputs, user_id=game.user_id, bot_name=bot_name, language=language)


def missing_characters(text: str) -> int:
    """How many characters a report still lacks; spaces in a row count as one."""
    return max(0, MIN_REPORT_LENGTH - len(" ".join(text.split())))


async def load_moves(db: Executor, game: GameRow) -> list[Move]:
    """With where the last one left the game."""
    moves = [move_from_row(row) for row in await get_moves(db, game.id)]
    if not moves:
        return []
    last = moves[-1]
    return [
        *moves[:-1],
        Move(last.roll, last.start, last.over, last.square, last.direction, game_from_state(game.state)),
    ]
