"""Filters in addition to aiogram's."""

from typing import Final

from aiogram import F
from aiogram.filters import Filter
from aiogram.types import TelegramObject
from magic_filter import MagicFilter


class Matches(Filter):
    """Passes updates that match all given magic filters: `Matches(F.text)`.

    Use it in decorators instead of a bare `F` expression, and aiogram's `StateFilter` instead of a bare `State`. Those
    are not coroutines, so aiogram runs them in a thread (`CallableObject.call` in aiogram/dispatcher/event/handler.py),
    which costs more than the comparison: about a sixth of `/start`, see bench/updates.py.

    Args:
        *rules: `F` expressions about the update's object, such as a Message.
    """

    __slots__ = ("_rules",)

    def __init__(self, *rules: MagicFilter) -> None:
        self._rules = rules

    async def __call__(self, event: TelegramObject) -> bool:
        """Whether the object matches all rules."""
        return all(rule.resolve(event) for rule in self._rules)


PLAIN_TEXT: Final = Matches(F.text, ~F.text.startswith("/"))
"""Text that is not a command: commands go to their own handlers, whatever the conversation is about."""
