"""What a player of Leela reads and can tap."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardMarkup

from services.core.i18n import Texts
from services.leela.rules import ENTRY, HOME_SQUARE, Move
from services.leela.squares import get_square
from services.messaging.buttons import button, keyboard
from storage.leela import Awaits

MIN_REPORT_LENGTH: Final = 50
"""Characters that a report has at least."""
_MAX_PATH_LENGTH: Final = 700


class LeelaCallback(CallbackData, prefix="lee"):
    """In one game: `roll` after so many moves, `path`, `restart`, `sure`, `back`, `new`."""

    game: UUID
    action: str
    moves: int = 0


def describe_move(texts: Texts, language: str, move: Move) -> str:
    """The roll, and in words what came of it."""
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


def square_text(texts: Texts, language: str, number: int) -> str:
    current = get_square(number, language)
    return texts.t(language, "leela.square", number=number, name=current.name, meaning=current.meaning)


def next_step_text(texts: Texts, language: str, awaits: Awaits) -> str:
    return texts.t(language, f"leela.next.{awaits}", count=MIN_REPORT_LENGTH)


def move_caption(texts: Texts, language: str, move: Move, awaits: Awaits) -> str:
    """Under the board after a move."""
    parts = [describe_move(texts, language, move)]
    if move.game.won:
        parts.append(texts.t(language, "leela.won"))
    elif not move.game.waiting:
        parts.append(square_text(texts, language, move.square))
    if not move.game.won:
        parts.append(next_step_text(texts, language, awaits))
    return "\n\n".join(parts)


def game_keyboard(texts: Texts, language: str, game: UUID, awaits: Awaits, moves: int) -> InlineKeyboardMarkup:
    def labelled_action(action: str) -> list[tuple[str, LeelaCallback]]:
        return [
            (texts.t(language, f"leela.button.{action}"), LeelaCallback(game=game, action=action, moves=moves))
        ]

    rows = [labelled_action("roll")] if awaits == "roll" else []
    if moves:
        rows.append([*labelled_action("path"), *labelled_action("restart")])
    return keyboard([[button(text, data) for text, data in row] for row in rows])


def won_keyboard(texts: Texts, language: str, game: UUID, moves: int) -> InlineKeyboardMarkup:
    actions = ("new", "path")
    return keyboard(
        [
            [button(texts.t(language, f"leela.button.{each}"), LeelaCallback(game=game, action=each, moves=moves))]
            for each in actions
        ]
    )


def confirm_restart_keyboard(texts: Texts, language: str, game: UUID) -> InlineKeyboardMarkup:
    return keyboard(
        [
            [button(texts.t(language, f"leela.button.{each}"), LeelaCallback(game=game, action=each))]
            for each in ("sure", "back")
        ]
    )


def path_text(moves: Sequence[Move]) -> str:
    """Square after square, with where a snake or an arrow began; of a long way, its end."""
    symbols = {"snake": "🐍", "arrow": "🏹", "win": "🏹"}
    parts = [str(HOME_SQUARE)]
    for move in moves:
        if move.square == move.start:
            continue
        was_moved_on = move.square != move.over
        parts.append(f"{move.over} {symbols[move.direction]} {move.square}" if was_moved_on else str(move.square))
    while len(text := " → ".join(parts)) > _MAX_PATH_LENGTH:
        parts = ["…", *parts[len(parts) // 4 + 1 :]]
    return text
