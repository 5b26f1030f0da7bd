"""What a service is: its spec says all that the wizard, Inngest, prices and help need to know of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.generation.inputs import ChoiceInput, FileInput, Input, Offers, TextInput, Values

if TYPE_CHECKING:
    from providers.protocols import PredictionProvider
    from services.generation.context import Providers, Shelf, Work
    from services.generation.result import Result


async def no_offers(shelf: "Shelf") -> Offers:
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
    run: "Callable[[Work], Awaitable[Result]]"
    place: int = 100
    """Where it stands in the menu, lowest first."""
    offers: "Callable[[Shelf], Awaitable[Offers]]" = no_offers
    """What only this person can choose: their own models, their voices."""
    made_by: str = ""
    """The service that makes what there may be none of to choose from: a model of the person."""
    concurrency: int = 5
    """Runs at once over all processes on Plan A."""
    starts_a_minute: int = 300
    """Runs begun in a minute over all processes on Plan A: together the services stay below a provider's limit.
    Replicate's is 600: https://replicate.com/docs/topics/predictions/rate-limits"""
    limit_seconds: float = 600
    """How long the provider may take."""
    works_at: "Callable[[Providers], PredictionProvider]" = lambda providers: providers.media
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

    def choices(self, values: Values, offers: Offers) -> str:
        """The chosen options in one line, as people see them."""
        chosen = (i.chosen(values, offers) for i in self.inputs if isinstance(i, ChoiceInput))
        return " · ".join(option.label for option in chosen if option)

    def words(self, values: Values) -> list[str]:
        """What the person typed."""
        return [values[i.id] for i in self.inputs if isinstance(i, TextInput) and values.get(i.id)]

    def fit(self, values: Values, offers: Offers) -> dict[str, Any]:
        """The values with every choice that is missing, or no longer offered, at its default."""
        fitted = dict(values)
        for each in self.inputs:
            if isinstance(each, ChoiceInput):
                option = each.chosen(fitted, offers)
                fitted[each.id] = option.value if option else None
        return fitted

    def missing(self, values: Values) -> Input | None:
        """The first input that has to be asked for."""
        asked = (i for i in self.inputs if not isinstance(i, ChoiceInput) and values.get(i.id) is None)
        return next((i for i in asked if not isinstance(i, FileInput) or i.wanted(values)), None)

    def nothing_offered(self, values: Values, offers: Offers) -> ChoiceInput | None:
        """A choice with nothing to choose from: the person has no model yet."""
        choices = (i for i in self.inputs if isinstance(i, ChoiceInput))
        return next((i for i in choices if not i.options(values, offers)), None)

    def check(self, values: Values, offers: Offers) -> dict[str, Any]:
        """The whole order's inputs, each checked. Raises Refused."""
        checked: dict[str, Any] = {}
        for each in self.inputs:
            checked[each.id] = each.check(values.get(each.id), {**values, **checked}, offers)
        return checked
