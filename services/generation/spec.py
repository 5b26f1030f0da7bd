"""What a service is: its spec says all that the wizard, Inngest, prices and help need to know of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from services.errors import Refused

if TYPE_CHECKING:
    from services.work import Work

Values = Mapping[str, Any]
"""The inputs of an order by id."""


@dataclass(frozen=True)
class Option:
    """One choice of an input. `label` is shown as it is; `note` stands beside it where it is chosen."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class TextInput:
    """A text the person types. Its question is the text `<service>.ask.<id>`."""

    id: str
    max_length: int
    default: str | None = None

    def check(self, value: Any, values: Values) -> str:
        """The value as the service takes it. Raises Refused with what to change."""
        text = value.strip() if isinstance(value, str) else ""
        if not any(character.isalnum() for character in text):
            raise Refused("input.no_words")
        if len(text) > self.max_length:
            raise Refused("input.too_long", length=len(text), limit=self.max_length)
        return text


@dataclass(frozen=True)
class ChoiceInput:
    """One of several options, which may depend on the choices before it; has a default, so is never asked for."""

    id: str
    options: Callable[[Values], tuple[Option, ...]]
    columns: int = 2

    def default_for(self, values: Values) -> str:
        return self.options(values)[0].value

    def check(self, value: Any, values: Values) -> str:
        allowed = self.options(values)
        if value not in {option.value for option in allowed}:
            raise Refused("input.not_offered", value=str(value))
        return str(value)

    def chosen(self, values: Values) -> Option:
        """What is chosen, or would be by default."""
        options = self.options(values)
        return next((option for option in options if option.value == values.get(self.id)), options[0])


Input = TextInput | ChoiceInput


@dataclass(frozen=True)
class Media:
    """One piece of a result: what it is, and the reference by which its provider gives the bytes."""

    kind: Literal["photo"]
    output: str


@dataclass(frozen=True)
class Result:
    """What a service made. `offline` says that it was made by a stand-in on this machine."""

    media: tuple[Media, ...]
    offline: bool


@dataclass(frozen=True)
class ServiceSpec:
    """One thing a person can order. Its texts are `service.<id>.name`, `.about` and `.ask.<input>`."""

    id: str
    event: str
    function_id: str
    emoji: str
    inputs: tuple[Input, ...]
    price: Callable[[Values], int]
    """Whole Stars for checked values."""
    run: "Callable[[Work], Awaitable[Result]]"
    concurrency: int = 5
    """Runs at once over all processes on Plan A."""
    actions: tuple[str, ...] = field(default=("again", "prompt"))
    """The buttons under a result, by input id or the two general ones."""

    takes_free_text: bool = False
    """Whether words sent outside of any order open this service's card."""

    def input(self, input_id: str) -> Input | None:
        return next((each for each in self.inputs if each.id == input_id), None)

    def choices(self, values: Values) -> str:
        """The chosen options in one line, as people see them."""
        return " · ".join(i.chosen(values).label for i in self.inputs if isinstance(i, ChoiceInput))

    def words(self, values: Values) -> list[str]:
        """What the person typed."""
        return [values[i.id] for i in self.inputs if isinstance(i, TextInput) and i.id in values]

    def fit(self, values: Values) -> dict[str, Any]:
        """The values with every choice that is missing, or no longer offered, at its default."""
        fitted = dict(values)
        for each in self.inputs:
            if isinstance(each, ChoiceInput):
                offered = {option.value for option in each.options(fitted)}
                if fitted.get(each.id) not in offered:
                    fitted[each.id] = each.default_for(fitted)
        return fitted

    def missing(self, values: Values) -> Input | None:
        """The first input that has to be asked for."""
        return next((i for i in self.inputs if isinstance(i, TextInput) and i.id not in values), None)

    def check(self, values: Values) -> dict[str, Any]:
        """The whole order's inputs, each checked. Raises Refused."""
        checked: dict[str, Any] = {}
        for each in self.inputs:
            checked[each.id] = each.check(values.get(each.id), {**values, **checked})
        return checked
