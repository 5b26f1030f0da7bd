"""Every answer is checked with aiogram's own type of it, once for each shape of answer."""

from collections.abc import Hashable
from typing import Any

from pydantic import TypeAdapter

from sandbox.telegram.api.requests import AnyMethod

_MAX_SHAPES = 20_000
_NESTED = (dict, list)


class ResponseValidator:
    """Checks answers; a shape that was right before costs a look-up only."""

    def __init__(self) -> None:
        self._adapters: dict[type[AnyMethod], TypeAdapter[Any]] = {}
        self._valid_shapes: set[Hashable] = set()

    def validate(self, cls: type[AnyMethod], result: Any) -> None:
        """Raise pydantic's ``ValidationError`` for an answer that aiogram could not read."""
        shape = (cls, _shape(result))
        if shape in self._valid_shapes:
            return
        adapter = self._adapters.get(cls)
        if adapter is None:
            adapter = self._adapters[cls] = TypeAdapter(cls.__returning__)
        adapter.validate_python(result)
        if len(self._valid_shapes) < _MAX_SHAPES:
            self._valid_shapes.add(shape)


def _shape(value: Any) -> Hashable:
    """The names in a JSON value, without its contents."""
    if value.__class__ is dict:
        return (*value, *[_shape(part) for part in value.values() if part.__class__ in _NESTED])
    if value.__class__ is list:
        return frozenset([_shape(part) for part in value])
    return str(value.__class__.__name__)
