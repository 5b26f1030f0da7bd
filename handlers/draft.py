"""An order that is being put together, as the conversation's state holds it."""

import secrets
from typing import Any

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from pydantic import BaseModel, ConfigDict

from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec


class Ordering(StatesGroup):
    asking = State()
    """An input is asked for; the next message is its answer."""
    card = State()
    """Everything is there; the card waits for its confirmation."""


class Draft(BaseModel):
    """`asking` is the id of the input that is asked for now."""

    model_config = ConfigDict(frozen=True)

    id: str
    service: str
    values: dict[str, Any]
    asking: str = ""

    @property
    def spec(self) -> ServiceSpec:
        return SERVICES[self.service]

    def order_key(self, user_id: int) -> str:
        """The same for every confirmation of this card, so that it becomes one job."""
        return f"draft:{user_id}:{self.id}"

    def with_values(self, **values: Any) -> "Draft":
        return self.model_copy(update={"values": self.spec.fit({**self.values, **values})})

    def asking_for(self, input_id: str) -> "Draft":
        return self.model_copy(update={"asking": input_id})

    def next_question(self) -> "Draft":
        """The draft asking for its first missing input, or for nothing."""
        missing = self.spec.missing(self.values)
        return self.asking_for(missing.id if missing else "")


def new_draft(service: str, values: dict[str, Any] | None = None) -> Draft:
    return Draft(id=secrets.token_urlsafe(6), service=service, values=SERVICES[service].fit(values or {}))


async def save_draft(state: FSMContext, draft: Draft) -> None:
    await state.set_data(draft.model_dump())
    await state.set_state(Ordering.asking if draft.asking else Ordering.card)


async def load_draft(state: FSMContext) -> Draft | None:
    """The draft, or None where there is none, or none of a service we have."""
    data = await state.get_data()
    draft = Draft.model_validate(data) if data else None
    return draft if draft is not None and draft.service in SERVICES else None
