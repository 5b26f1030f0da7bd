"""The buttons of the game of Leela and their callback data."""

from collections.abc import Iterable
from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from services.core.i18n import Texts
from services.messaging.buttons import button, keyboard
from storage.leela import Awaits


class LeelaCallback(CallbackData, prefix="lee"):
    """Act on a game.

    Attributes:
        game: The game's id.
        action: `roll`, `path`, `restart`, `sure`, `back` or `new`.
        moves: The number of moves when the button was shown, so that each move is rolled for only once.
    """

    game: UUID
    action: str
    moves: int = 0


def game_keyboard(texts: Texts, language: str, game: UUID, awaits: Awaits, moves: int) -> InlineKeyboardMarkup:
    """Create the buttons of an open game: roll, if that is the next action; path and restart after the first move.

    Args:
        texts: The texts.
        language: The player's language.
        game: The game's id.
        awaits: The action that the game awaits.
        moves: The number of moves so far.
    """
    rows = [_row(texts, language, game, ["roll"], moves)] if awaits == "roll" else []
    if moves:
        rows.append(_row(texts, language, game, ["path", "restart"], moves))
    return keyboard(rows)


def won_keyboard(texts: Texts, language: str, game: UUID, moves: int) -> InlineKeyboardMarkup:
    """Create the buttons of a won game: new game and path. For the arguments, see `game_keyboard`."""
    return keyboard([_row(texts, language, game, [action], moves) for action in ("new", "path")])


def confirm_restart_keyboard(texts: Texts, language: str, game: UUID) -> InlineKeyboardMarkup:
    """Create the buttons that confirm or cancel a restart. For the arguments, see `game_keyboard`."""
    return keyboard([_row(texts, language, game, [action]) for action in ("sure", "back")])


def _row(
    texts: Texts, language: str, game: UUID, actions: Iterable[str], moves: int = 0
) -> list[InlineKeyboardButton]:
    return [
        button(texts.t(language, f"leela.button.{action}"), LeelaCallback(game=game, action=action, moves=moves))
        for action in actions
    ]
