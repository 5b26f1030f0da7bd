"""Data for every event, with the least said: what is not given is filled in from the event's model."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import inngest
from pydantic import BaseModel

from inngest_functions.events import EVENTS


def build_event_data(name: str, /, **given: Any) -> dict[str, Any]:
    """The data of an event, as it travels. Raises KeyError for an event without a model, and pydantic's
    ValidationError for a value that does not fit it."""
    model = EVENTS[name]
    values = {**{field: _placeholder(model, field) for field in _required(model) if field not in given}, **given}
    if "dedup_id" in model.model_fields and "dedup_id" not in given:
        values["dedup_id"] = str(values["job_id"])
    return model.model_validate(values).model_dump(mode="json")


def build_event(name: str, /, *, event_id: str = "", **given: Any) -> inngest.Event:
    return inngest.Event(name=name, id=event_id, data=build_event_data(name, **given))


def _required(model: type[BaseModel]) -> Mapping[str, Any]:
    return {name: field for name, field in model.model_fields.items() if field.is_required()}


def _placeholder(model: type[BaseModel], field: str) -> Any:
    kind = model.model_fields[field].annotation
    made = {UUID: uuid4(), int: 1001, str: field}
    if kind not in made:
        raise NotImplementedError(f"say how to make up {model.__name__}.{field}, a {kind}")
    return made[kind]
