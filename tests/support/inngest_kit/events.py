"""Data for every event: a field that is not passed gets a value from the event's model."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import inngest
from pydantic import BaseModel

from inngest_functions.events import EVENTS


def build_event_data(name: str, /, **fields: Any) -> dict[str, Any]:
    """The data of an event, as it is sent. Raises KeyError for an event without a model, and pydantic's
    ValidationError for a value that does not fit it."""
    model = EVENTS[name]
    values = {**{field: _placeholder(model, field) for field in _required(model) if field not in fields}, **fields}
    if "dedup_id" in model.model_fields and "dedup_id" not in fields:
        values["dedup_id"] = str(values["job_id"])
    return model.model_validate(values).model_dump(mode="json")


def build_event(name: str, /, *, event_id: str = "", **fields: Any) -> inngest.Event:
    return inngest.Event(name=name, id=event_id, data=build_event_data(name, **fields))


def _required(model: type[BaseModel]) -> Mapping[str, Any]:
    return {name: field for name, field in model.model_fields.items() if field.is_required()}


def _placeholder(model: type[BaseModel], field: str) -> Any:
    kind = model.model_fields[field].annotation
    made = {UUID: uuid4(), int: 1001, str: field}
    if kind not in made:
        raise NotImplementedError(f"no placeholder for {model.__name__}.{field}, a {kind}")
    return made[kind]
