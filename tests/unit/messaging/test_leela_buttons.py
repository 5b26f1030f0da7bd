"""The buttons of the game: which of them are there, and what they carry back."""

from uuid import uuid4

import pytest
from aiogram.types import InlineKeyboardMarkup

from services.core.i18n import Texts
from services.messaging.leela_buttons import (
    LeelaCallback,
    confirm_restart_keyboard,
    game_keyboard,
    won_keyboard,
)
from storage.leela import Awaits

TEXTS, GAME = Texts(), uuid4()
MAX_CALLBACK_BYTES = 64
"""https://core.telegram.org/bots/api#inlinekeyboardbutton"""


def actions(markup: InlineKeyboardMarkup) -> list[list[tuple[str, int]]]:
    """The action and the number of moves of each button, row by row."""
    rows = []
    for row in markup.inline_keyboard:
        packed = [each.callback_data or "" for each in row]
        assert all(len(data.encode()) <= MAX_CALLBACK_BYTES for data in packed)
        unpacked = [LeelaCallback.unpack(data) for data in packed]
        assert {each.game for each in unpacked} == {GAME}
        rows.append([(each.action, each.moves) for each in unpacked])
    return rows


@pytest.mark.parametrize(
    ("awaits", "moves", "expected"),
    [
        ("roll", 0, [[("roll", 0)]]),
        ("roll", 3, [[("roll", 3)], [("path", 3), ("restart", 3)]]),
        ("report", 3, [[("path", 3), ("restart", 3)]]),
        ("dice", 0, []),
    ],
)
def test_game_keyboard_has_the_roll_only_while_it_is_awaited(
    awaits: Awaits, moves: int, expected: list[list[tuple[str, int]]]
) -> None:
    assert actions(game_keyboard(TEXTS, "en", GAME, awaits, moves)) == expected


def test_won_and_restart_keyboards_have_their_actions() -> None:
    assert actions(won_keyboard(TEXTS, "en", GAME, 7)) == [[("new", 7)], [("path", 7)]]
    assert actions(confirm_restart_keyboard(TEXTS, "en", GAME)) == [[("sure", 0)], [("back", 0)]]
