"""An order that is being put together, as the conversation's state holds it."""

import secrets
from typing import Any

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from pydantic import BaseModel, ConfigDict

from services.generation.inputs import FileInput, FileRef, Input, UserOptions
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec


class Ordering(StatesGroup):
    asking = State()
    """An input is asked for; the next message is its answer."""
    offered = State()
    """A photo came out of the blue; it waits for the service that is chosen for it."""
    card = State()
    """Everything is there; the card waits for its confirmation."""


class Draft(BaseModel):
    """`asking` is the id of the input that is asked for now; `counter` the message that counts photos."""

    model_config = ConfigDict(frozen=True)

    id: str
    service: str
    values: dict[str, Any]
    asking: str = ""
    counter: int = 0

    @property
    def spec(self) -> ServiceSpec:
        return SERVICES[self.service]

    @property
    def current_input(self) -> Input | None:
        return self.spec.input(self.asking)

    def order_key(self, user_id: int) -> str:
        """The same for every confirmation of this card, so that it becomes one job."""
        return f"draft:{user_id}:{self.id}"

    def with_values(self, user_options: UserOptions, **values: Any) -> "Draft":
        return self.model_copy(update={"values": self.spec.with_defaults({**self.values, **values}, user_options)})

    def with_new_id(self) -> "Draft":
        """The same order under a new id: the buttons of messages that showed it before are out of use."""
        return self.model_copy(update={"id": _new_id()})

    def with_question(self, input_id: str) -> "Draft":
        return self.model_copy(update={"asking": input_id, "counter": 0})

    def with_next_question(self) -> "Draft":
        """The draft asking for its first missing input, or for nothing."""
        missing = self.spec.first_missing(self.values)
        return self.with_question(missing.id if missing else "")

    def with_photo(self, photo: FileRef) -> "Draft":
        """The draft with this photo where its service first asks for one."""
        photo_input = next((i for i in self.spec.inputs if isinstance(i, FileInput) and "photo" in i.kinds), None)
        return (
            self
            if photo_input is None
            else self.model_copy(update={"values": {**self.values, photo_input.id: photo.model_dump()}})
        )

    def with_prompt(self, prompt: str) -> "Draft":
        """The draft with these words where its service asks for words."""
        text_input = self.spec.text_input
        return (
            self
            if text_input is None
            else self.model_copy(update={"values": {**self.values, text_input.id: prompt}})
        )


def new_draft(service: str, values: dict[str, Any] | None = None) -> Draft:
    return Draft(id=_new_id(), service=service, values=values or {})


def _new_id() -> str:
    return secrets.token_urlsafe(6)


async def save_draft(state: FSMContext, draft: Draft) -> None:
    await state.set_data(draft.model_dump())
    await state.set_state(Ordering.asking if draft.asking else Ordering.card)


async def load_draft(state: FSMContext) -> Draft | None:
    """The draft, or None where there is none, or none of a service we have."""
    data = await state.get_data()
    draft = Draft.model_validate(data) if "service" in data else None
    return draft if draft is not None and draft.service in SERVICES else None
