"""The buttons of the game of Leela, and what each carries back."""

from collections.abc import Iterable
from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from services.core.i18n import Texts
from services.messaging.buttons import button, keyboard
from storage.leela import Awaits


class LeelaCallback(CallbackData, prefix="lee"):
    """A button of one game.

    Attributes:
        game: The game.
        action: `roll`, `path`, `restart`, `sure`, `back` or `new`.
        moves: How many moves the game had when the button was shown, so that each move is rolled for once.
    """

    game: UUID
    action: str
    moves: int = 0


def game_keyboard(texts: Texts, language: str, game: UUID, awaits: Awaits, moves: int) -> InlineKeyboardMarkup:
    """The buttons of an open game: the roll while it is awaited, and from the first move on its path and a restart.

    Args:
        texts: All texts.
        language: The player's language.
        game: The game.
        awaits: What comes next in it.
        moves: How many moves it has.
    """
    rows = [_row(texts, language, game, ["roll"], moves)] if awaits == "roll" else []
    if moves:
        rows.append(_row(texts, language, game, ["path", "restart"], moves))
    return keyboard(rows)


def won_keyboard(texts: Texts, language: str, game: UUID, moves: int) -> InlineKeyboardMarkup:
    """The buttons of a game that is won: a new one, and its path. Arguments as of `game_keyboard`."""
    return keyboard([_row(texts, language, game, [action], moves) for action in ("new", "path")])


def confirm_restart_keyboard(texts: Texts, language: str, game: UUID) -> InlineKeyboardMarkup:
    """Ask whether to end the open game and begin another one. Arguments as of `game_keyboard`."""
    return keyboard([_row(texts, language, game, [action]) for action in ("sure", "back")])


def _row(
    texts: Texts, language: str, game: UUID, actions: Iterable[str], moves: int = 0
) -> list[InlineKeyboardButton]:
    return [
        button(texts.t(language, f"leela.button.{action}"), LeelaCallback(game=game, action=action, moves=moves))
        for action in actions
    ]
