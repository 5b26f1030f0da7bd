"""What a service is: its spec says all that the wizard, Inngest, prices and help need to know of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.generation.inputs import ChoiceInput, FileInput, Input, TextInput, UserOptions, Values

if TYPE_CHECKING:
    from providers.protocols import PredictionProvider
    from services.generation.context import JobContext, Providers, UserCatalogue
    from services.generation.result import JobResult


async def no_user_options(catalogue: "UserCatalogue") -> UserOptions:
    return {}


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
    run: "Callable[[JobContext], Awaitable[JobResult]]"
    menu_position: int = 100
    """Where it stands in the menu, lowest first."""
    user_options: "Callable[[UserCatalogue], Awaitable[UserOptions]]" = no_user_options
    """What only this person can choose: their own models, their voices."""
    created_by: str = ""
    """The service that makes what there may be none of to choose from: a model of the person."""
    concurrency: int = 5
    """Runs at once over all processes on Plan A."""
    starts_per_minute: int = 300
    """Runs begun in a minute over all processes on Plan A: together the services stay below a provider's limit.
    Replicate's is 600: https://replicate.com/docs/topics/predictions/rate-limits"""
    time_limit_seconds: float = 600
    """How long the provider may take."""
    cancel_at: "Callable[[Providers], PredictionProvider]" = lambda providers: providers.media
    """Where long work that it starts can be cancelled."""
    actions: tuple[str, ...] = ("again",)
    """The buttons under a result: `again`, an input's id, or the id of a service that goes on from it."""
    notify_failure_later: bool = False
    """Whether its failure is a notification of its own: long work, whose user has left the chat meanwhile."""
    takes_free_text: bool = False
    """Whether words sent outside of any order open this service's card."""

    def input(self, input_id: str) -> Input | None:
        return next((each for each in self.inputs if each.id == input_id), None)

    @property
    def text_input(self) -> TextInput | None:
        """The input that words sent while the card is open belong to."""
        return next((each for each in self.inputs if isinstance(each, TextInput) and each.main), None)

    def summary(self, values: Values, user_options: UserOptions) -> str:
        """The chosen options in one line, as people see them."""
        selected = (i.selected(values, user_options) for i in self.inputs if isinstance(i, ChoiceInput))
        return " · ".join(option.label for option in selected if option)

    def prompts(self, values: Values) -> list[str]:
        """What the person typed."""
        return [values[i.id] for i in self.inputs if isinstance(i, TextInput) and values.get(i.id)]

    def with_defaults(self, values: Values, user_options: UserOptions) -> dict[str, Any]:
        """The values with every choice that is missing, or no longer offered, at its default."""
        completed = dict(values)
        for each in self.inputs:
            if isinstance(each, ChoiceInput):
                option = each.selected(completed, user_options)
                completed[each.id] = option.value if option else None
        return completed

    def first_missing(self, values: Values) -> Input | None:
        """The first input that has to be asked for."""
        unanswered = (i for i in self.inputs if not isinstance(i, ChoiceInput) and values.get(i.id) is None)
        return next((i for i in unanswered if not isinstance(i, FileInput) or i.needed(values)), None)

    def first_empty_choice(self, values: Values, user_options: UserOptions) -> ChoiceInput | None:
        """A choice with nothing to choose from: the person has no model yet."""
        choices = (i for i in self.inputs if isinstance(i, ChoiceInput))
        return next((i for i in choices if not i.options(values, user_options)), None)

    def validate(self, values: Values, user_options: UserOptions) -> dict[str, Any]:
        """The whole order's inputs, each checked. Raises Refused."""
        validated: dict[str, Any] = {}
        for each in self.inputs:
            validated[each.id] = each.validate(values.get(each.id), {**values, **validated}, user_options)
        return validated
