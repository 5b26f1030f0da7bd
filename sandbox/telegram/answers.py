"""Every answer is checked with aiogram's own type of it, once for each shape of answer."""

from collections.abc import Hashable
from typing import Any

from pydantic import TypeAdapter

from sandbox.telegram.requests import AnyMethod

_MOST_SHAPES = 20_000


class AnswerCheck:
    """Checks answers; a shape that was right before costs a look-up only."""

    def __init__(self) -> None:
        self._adapters: dict[type[AnyMethod], TypeAdapter[Any]] = {}
        self._right: set[Hashable] = set()

    def check(self, cls: type[AnyMethod], result: Any) -> None:
        """Raise pydantic's ``ValidationError`` for an answer that aiogram could not read."""
        shape = (cls, _shape(result))
        if shape in self._right:
            return
        adapter = self._adapters.get(cls)
        if adapter is None:
            adapter = self._adapters[cls] = TypeAdapter(cls.__returning__)
        adapter.validate_python(result)
        if len(self._right) < _MOST_SHAPES:
            self._right.add(shape)


def _shape(value: Any) -> Hashable:
    """Names and types of a JSON value, without its contents."""
    if isinstance(value, dict):
        return tuple((name, _shape(part)) for name, part in value.items())
    if isinstance(value, list):
        return frozenset(_shape(part) for part in value)
    return type(value)
