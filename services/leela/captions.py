"""Texts for players of Leela: captions of the board, and the next step."""

from collections.abc import Sequence
from typing import Final

from services.core.i18n import Texts
from services.leela.rules import ENTRY, HOME_SQUARE, MIN_REPORT_LENGTH, Move
from services.leela.squares import get_square
from storage.leela import Awaits

_MAX_PATH_LENGTH: Final = 700
_JUMP_SYMBOLS: Final = {"snake": "🐍", "arrow": "🏹", "win": "🏹"}


def move_caption(texts: Texts, language: str, move: Move, awaits: Awaits) -> str:
    """Build the caption of the board after a move.

    Args:
        texts: The texts.
        language: The player's language.
        move: The move.
        awaits: The action that the game awaits.

    Returns:
        The roll and its effect, the square, and the next step. It fits into the caption of a Telegram photo.
    """
    parts = [_describe_move(texts, language, move)]
    if move.game.won:
        parts.append(texts.t(language, "leela.won"))
    elif not move.game.waiting:
        square = get_square(move.square, language)
        parts.append(
            texts.t(language, "leela.square", number=move.square, name=square.name, meaning=square.meaning)
        )
    if not move.game.won:
        parts.append(next_step_text(texts, language, awaits))
    return "\n\n".join(parts)


def _describe_move(texts: Texts, language: str, move: Move) -> str:
    if move.game.waiting:
        key = "leela.move.waits" if move.direction == "stop" else "leela.move.outside"
    elif move.over == move.start and move.direction == "snake":  # three sixes
        key = "leela.move.back"
    elif move.start == HOME_SQUARE and move.over == ENTRY:
        key = "leela.move.enters"
    else:
        key = f"leela.move.{move.direction}"
    numbers = {"roll": move.roll, "start": move.start, "over": move.over, "square": move.square}
    return texts.t(language, key, **numbers)


def next_step_text(texts: Texts, language: str, awaits: Awaits) -> str:
    """Return the text that tells the player what to do or wait for."""
    return texts.t(language, f"leela.next.{awaits}", count=MIN_REPORT_LENGTH)


def path_text(moves: Sequence[Move]) -> str:
    """List the squares of a game in order, including those where a snake or an arrow begins.

    Args:
        moves: All moves, oldest first. Moves that did not move the piece are omitted.

    Returns:
        At most 700 characters. The beginning of a longer path is omitted.
    """
    parts = [str(HOME_SQUARE)]
    for move in moves:
        if move.square == move.start:
            continue
        was_moved_on = move.square != move.over
        jump = f"{move.over} {_JUMP_SYMBOLS[move.direction]} " if was_moved_on else ""
        parts.append(f"{jump}{move.square}")
    while len(text := " → ".join(parts)) > _MAX_PATH_LENGTH:
        parts = ["…", *parts[len(parts) // 4 + 1 :]]
    return text
