"""What a player of Leela reads and can tap."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardMarkup

from services.core.i18n import Texts
from services.leela.rules import ENTRY, HOME, Move
from services.leela.squares import square
from services.messaging.buttons import button, keyboard
from storage.leela import Awaits

REPORT_LENGTH: Final = 50
"""Characters that a report has at least."""
_LONGEST_PATH: Final = 700


class LeelaTap(CallbackData, prefix="lee"):
    """In one game: `roll` after so many moves, `path`, `restart`, `sure`, `back`, `new`."""

    game: UUID
    action: str
    moves: int = 0


def how(texts: Texts, language: str, move: Move) -> str:
    """The roll, and in words what came of it."""
    if move.game.waiting:
        key = "leela.move.waits" if move.direction == "stop" else "leela.move.outside"
    elif move.over == move.start and move.direction == "snake":  # three sixes
        key = "leela.move.back"
    elif move.start == HOME and move.over == ENTRY:
        key = "leela.move.enters"
    else:
        key = f"leela.move.{move.direction}"
    numbers = {"roll": move.roll, "start": move.start, "over": move.over, "square": move.square}
    return texts.t(language, key, **numbers)


def meaning(texts: Texts, language: str, number: int) -> str:
    found = square(number, language)
    return texts.t(language, "leela.square", number=number, name=found.name, meaning=found.meaning)


def next_step(texts: Texts, language: str, awaits: Awaits) -> str:
    return texts.t(language, f"leela.next.{awaits}", count=REPORT_LENGTH)


def move_caption(texts: Texts, language: str, move: Move, awaits: Awaits) -> str:
    """Under the board after a move."""
    parts = [how(texts, language, move)]
    if move.game.won:
        parts.append(texts.t(language, "leela.won"))
    elif not move.game.waiting:
        parts.append(meaning(texts, language, move.square))
    if not move.game.won:
        parts.append(next_step(texts, language, awaits))
    return "\n\n".join(parts)


def game_keyboard(texts: Texts, language: str, game: UUID, awaits: Awaits, moves: int) -> InlineKeyboardMarkup:
    def tap(action: str) -> list[tuple[str, LeelaTap]]:
        return [(texts.t(language, f"leela.button.{action}"), LeelaTap(game=game, action=action, moves=moves))]

    rows = [tap("roll")] if awaits == "roll" else []
    if moves:
        rows.append([*tap("path"), *tap("restart")])
    return keyboard([[button(text, data) for text, data in row] for row in rows])


def won_keyboard(texts: Texts, language: str, game: UUID, moves: int) -> InlineKeyboardMarkup:
    actions = ("new", "path")
    return keyboard(
        [
            [button(texts.t(language, f"leela.button.{each}"), LeelaTap(game=game, action=each, moves=moves))]
            for each in actions
        ]
    )


def sure_keyboard(texts: Texts, language: str, game: UUID) -> InlineKeyboardMarkup:
    return keyboard(
        [
            [button(texts.t(language, f"leela.button.{each}"), LeelaTap(game=game, action=each))]
            for each in ("sure", "back")
        ]
    )


def path_words(moves: Sequence[Move]) -> str:
    """Square after square, with where a snake or an arrow began; of a long way, its end."""
    signs = {"snake": "🐍", "arrow": "🏹", "win": "🏹"}
    words = [str(HOME)]
    for move in moves:
        if move.square == move.start:
            continue
        on = move.square != move.over
        words.append(f"{move.over} {signs[move.direction]} {move.square}" if on else str(move.square))
    while len(text := " → ".join(words)) > _LONGEST_PATH:
        words = ["…", *words[len(words) // 4 + 1 :]]
    return text
