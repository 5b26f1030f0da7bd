"""Drafts: orders that are not confirmed yet, as the conversation stores them."""

import secrets
from collections.abc import Mapping
from typing import Any

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from pydantic import BaseModel, ConfigDict

from services.generation.inputs import FileInput, FileRef, Input, UserOptions
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec


class Ordering(StatesGroup):
    """The conversation while there is a draft."""

    answering = State()
    """An input is asked for, and the next message is the answer."""
    photo_waiting = State()
    """The user sent a photo outside any order and has yet to choose a service for it."""
    card = State()
    """Nothing is missing, and the card waits for confirmation."""


class Draft(BaseModel):
    """An order that is not confirmed yet. It is immutable: each change returns a new draft.

    Attributes:
        id: Identifies the draft in buttons and in the order key.
        service: The service's id.
        values: The values of the inputs so far, by input id. Keys that begin with `_` are internal to the handlers.
        question_id: The id of the input that is asked for now; empty for none.
        counter: The id of the message that shows the number of photos; 0 for none.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    service: str
    values: dict[str, Any]
    question_id: str = ""
    counter: int = 0

    @property
    def spec(self) -> ServiceSpec:
        """The service that is ordered."""
        return SERVICES[self.service]

    @property
    def current_input(self) -> Input | None:
        """The input that is asked for now, if any."""
        return self.spec.input(self.question_id)

    def order_key(self, user_id: int) -> str:
        """The order key, the same for every confirmation of this draft, so that the draft becomes only one job."""
        return f"draft:{user_id}:{self.id}"

    def with_raw_values(self, values: Mapping[str, Any]) -> "Draft":
        """The draft with these values merged over its own, without filling in defaults."""
        return self.model_copy(update={"values": {**self.values, **values}})

    def with_values(self, user_options: UserOptions, **values: Any) -> "Draft":
        """The draft with these values. Choices that are then missing or no longer offered get their defaults."""
        return self.model_copy(update={"values": self.spec.with_defaults({**self.values, **values}, user_options)})

    def with_new_id(self) -> "Draft":
        """The same draft with a new id, so that the buttons of earlier messages stop working."""
        return self.model_copy(update={"id": _new_id()})

    def with_question(self, input_id: str) -> "Draft":
        """The draft asking for this input."""
        return self.model_copy(update={"question_id": input_id, "counter": 0})

    def with_next_question(self) -> "Draft":
        """The draft asking for its first missing input, or for nothing."""
        missing = self.spec.first_missing(self.values)
        return self.with_question(missing.id if missing else "")

    def with_photo(self, photo: FileRef) -> "Draft":
        """The draft with this photo as its first input that takes a photo, if it has one."""
        photo_input = next((i for i in self.spec.inputs if isinstance(i, FileInput) and "photo" in i.kinds), None)
        return self if photo_input is None else self.with_raw_values({photo_input.id: photo.model_dump()})

    def with_prompt(self, prompt: str) -> "Draft":
        """The draft with this prompt, if its service takes one."""
        text_input = self.spec.text_input
        return self if text_input is None else self.with_raw_values({text_input.id: prompt})


def new_draft(service: str, values: dict[str, Any] | None = None) -> Draft:
    """Create a draft with a new id.

    Args:
        service: The service's id.
        values: The initial inputs, such as those of an earlier order.
    """
    return Draft(id=_new_id(), service=service, values=values or {})


def _new_id() -> str:
    return secrets.token_urlsafe(6)


async def save_draft(state: FSMContext, draft: Draft) -> None:
    """Store this as the conversation's draft, and set the state accordingly."""
    await state.set_data(draft.model_dump())
    await state.set_state(Ordering.answering if draft.question_id else Ordering.card)


async def load_draft(state: FSMContext) -> Draft | None:
    """The conversation's draft; None if there is none or its service no longer exists."""
    data = await state.get_data()
    draft = Draft.model_validate(data) if "service" in data else None
    return draft if draft is not None and draft.service in SERVICES else None
