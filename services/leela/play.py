"""The actions of a player of Leela: start, roll, report and restart. Repeating an action changes nothing."""

from uuid import UUID, uuid4

from services.jobs.internal_jobs import enqueue, new_job_id
from services.leela.job import GAME_STEP
from services.leela.record import game_from_state, game_to_state, move_from_row
from services.leela.rules import MIN_REPORT_LENGTH, Game, Move
from storage import leela
from storage.leela import GameRow
from storage.pool import Executor, Pool


async def find_open_game(db: Executor, user_id: int) -> GameRow | None:
    """Return the user's open game, or None."""
    return await leela.get_open_game(db, user_id)


async def find_game(db: Executor, game_id: UUID, user_id: int) -> GameRow | None:
    """Return a user's game, open or ended; None if it is not theirs."""
    return await leela.get_game(db, game_id, user_id)


async def get_or_start_game(db: Executor, user_id: int, bot_name: str) -> GameRow:
    """Return the user's open game, or start a new one.

    Args:
        db: The database.
        user_id: The user.
        bot_name: The bot for a new game.
    """
    game = await leela.get_open_game(db, user_id)
    if game is None:
        await leela.start_game(db, new_job_id(), user_id, bot_name, game_to_state(Game()))
        game = await leela.get_open_game(db, user_id)
    assert game is not None  # noqa: S101 - it was just started, and a user's updates are handled one at a time
    return game


async def restart_game(db: Pool, game_id: UUID, user_id: int, bot_name: str) -> GameRow:
    """End a game and start a new one.

    Args:
        db: The database.
        game_id: The game to end. If it has already ended, nothing changes.
        user_id: The user.
        bot_name: The bot for the new game.

    Returns:
        The open game: the new one, or the one that was started when `game_id` ended.
    """
    async with db.acquire() as connection, connection.transaction():
        await leela.end_game(connection, game_id, user_id)
        return await get_or_start_game(connection, user_id, bot_name)


async def request_roll(db: Pool, game: GameRow, moves: int, *, bot_name: str, language: str) -> bool:
    """Enqueue the internal job that rolls the die.

    Args:
        db: The database.
        game: The game.
        moves: The number of moves when the button was shown.
        bot_name: The bot that sends the die.
        language: The player's language.

    Returns:
        False if this roll was requested before, or the game does not await a roll.
    """
    async with db.acquire() as connection, connection.transaction():
        if not await leela.advance_game(connection, game.id, moves, "roll", "dice"):
            return False
        inputs = {"task": "roll", "game": str(game.id), "move": moves + 1}
        await _enqueue_step(connection, game, inputs, bot_name, language)
    return True


async def save_report(
    db: Pool, game: GameRow, text: str, *, bot_name: str, language: str, placeholder_id: int | None
) -> bool:
    """Save a player's report on their square and enqueue the internal job that replies to it.

    Args:
        db: The database.
        game: The game.
        text: The report.
        bot_name: The bot that replies.
        language: The player's language.
        placeholder_id: The id of the message that becomes the reply.

    Returns:
        False if the game no longer awaits a report.
    """
    async with db.acquire() as connection, connection.transaction():
        if not await leela.set_report(connection, game.id, game.moves, text):
            return False
        inputs = {"task": "reply", "game": str(game.id), "move": game.moves, "thinking": placeholder_id}
        await _enqueue_step(connection, game, inputs, bot_name, language)
    return True


async def _enqueue_step(
    db: Executor, game: GameRow, inputs: dict[str, object], bot_name: str, language: str
) -> None:
    """Enqueue a step under a random key. The caller's conditional update ensures that this happens only once."""
    await enqueue(db, GAME_STEP, uuid4().hex, inputs, user_id=game.user_id, bot_name=bot_name, language=language)


def missing_characters(text: str) -> int:
    """Return the number of characters missing from a report that is too short. Repeated spaces count once."""
    return max(0, MIN_REPORT_LENGTH - len(" ".join(text.split())))


async def load_moves(db: Executor, game: GameRow) -> list[Move]:
    """Load all moves of a game, oldest first. The last one has the current state of the game."""
    rows = await leela.get_moves(db, game.id)
    if not rows:
        return []
    return [
        *(move_from_row(row) for row in rows[:-1]),
        move_from_row(rows[-1], game_from_state(game.state)),
    ]
