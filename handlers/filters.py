"""The filters that this bot adds to aiogram's."""

from typing import Final

from aiogram import F
from aiogram.filters import Filter
from aiogram.types import TelegramObject
from magic_filter import MagicFilter


class Matches(Filter):
    """Passes updates that match every given magic filter: `Matches(F.text)`.

    aiogram runs everything that is not a coroutine in a thread, and a bare `F` expression and a bare `State` are not
    (`CallableObject.call` in aiogram/dispatcher/event/handler.py). The thread costs more than the comparison: about a
    sixth of `/start`, see bench/updates.py. So decorators use this class, and aiogram's `StateFilter` for states.

    Args:
        *rules: `F` expressions over the update's object, such as a Message.
    """

    __slots__ = ("_rules",)

    def __init__(self, *rules: MagicFilter) -> None:
        self._rules = rules

    async def __call__(self, event: TelegramObject) -> bool:
        """Whether the object matches all rules."""
        return all(rule.resolve(event) for rule in self._rules)


PLAIN_TEXT: Final = Matches(F.text, ~F.text.startswith("/"))
"""A text that is not a command: a command goes to its own handler, whatever the conversation is about."""
