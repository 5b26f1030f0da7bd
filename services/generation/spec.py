"""What a service is. Its spec has all that the menu, the order wizard, Inngest, prices and help need to know of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.generation.inputs import ChoiceInput, FileInput, Input, TextInput, UserOptions, Values

if TYPE_CHECKING:
    from providers.protocols import PredictionProvider
    from services.generation.context import JobContext, Providers, UserCatalogue
    from services.generation.result import JobResult


async def _no_user_options(catalogue: "UserCatalogue") -> UserOptions:
    return {}


@dataclass(frozen=True)
class ServiceSpec:
    """One thing that a user can order. Its texts are `service.<id>.name`, `.about` and `.ask.<input>`.

    Attributes:
        id: The service's name in orders, in the journal and in keys of texts.
        event: The event that starts it on Plan A.
        function_id: Its function on Plan A.
        emoji: Its symbol in the menu.
        inputs: What the order asks for, in this order.
        price: What validated values cost, in whole credits.
        run: The work of one job. It may be called several times for one job, so all it does goes through
            `context.steps`. What fails raises a Failure or a ProviderError.
        menu_position: Where it stands in the menu, lowest first.
        user_options: Finds the options that only one user has: their models, their voices.
        created_by: The service that makes what `user_options` may have none of, such as a user's model.
        concurrency: How many jobs run at once over all processes on Plan A.
        starts_per_minute: How many jobs start per minute over all processes on Plan A. The services together stay
            below a provider's limit: Replicate's is 600 predictions per minute,
            https://replicate.com/docs/topics/predictions/rate-limits
        time_limit_seconds: How long its predictions may take; 0 where it makes none.
        cancel_at: The provider of the long work that it starts, where that work can be cancelled.
        actions: The buttons under a result: `again`, the id of an input, or the id of a service that goes on from it.
        notify_failure_later: Whether its failure is reported by a notification: the work takes so long that the
            user has left the chat meanwhile.
        takes_free_text: Whether a text that is sent outside of any order opens a card of this service.
    """

    id: str
    event: str
    function_id: str
    emoji: str
    inputs: tuple[Input, ...]
    price: Callable[[Values], int]
    run: "Callable[[JobContext], Awaitable[JobResult]]"
    menu_position: int = 100
    user_options: "Callable[[UserCatalogue], Awaitable[UserOptions]]" = _no_user_options
    created_by: str = ""
    concurrency: int = 5
    starts_per_minute: int = 300
    time_limit_seconds: float = 0
    cancel_at: "Callable[[Providers], PredictionProvider]" = lambda providers: providers.media
    actions: tuple[str, ...] = ("again",)
    notify_failure_later: bool = False
    takes_free_text: bool = False

    def input(self, input_id: str) -> Input | None:
        """The input with this id, if there is one."""
        return next((each for each in self.inputs if each.id == input_id), None)

    @property
    def text_input(self) -> TextInput | None:
        """The input that takes a text sent while the order's card is open."""
        return next((each for each in self.inputs if isinstance(each, TextInput) and each.main), None)

    def summary(self, values: Values, user_options: UserOptions) -> str:
        """The labels of the chosen options in one line."""
        selected = (i.selected(values, user_options) for i in self.inputs if isinstance(i, ChoiceInput))
        return " · ".join(option.label for option in selected if option)

    def prompts(self, values: Values) -> list[str]:
        """The texts that the user typed."""
        return [values[i.id] for i in self.inputs if isinstance(i, TextInput) and values.get(i.id)]

    def with_defaults(self, values: Values, user_options: UserOptions) -> dict[str, Any]:
        """Complete an order that is being put together.

        Args:
            values: What the user has chosen so far.
            user_options: The user's own options.

        Returns:
            The values, in which every choice that is missing or no longer offered has its default; None where it
            has no options.
        """
        completed = dict(values)
        for each in self.inputs:
            if isinstance(each, ChoiceInput):
                option = each.selected(completed, user_options)
                completed[each.id] = option.value if option else None
        return completed

    def first_missing(self, values: Values) -> Input | None:
        """The first input that the user has to be asked for; None where the order is complete."""
        unanswered = (i for i in self.inputs if not isinstance(i, ChoiceInput) and values.get(i.id) is None)
        return next((i for i in unanswered if not isinstance(i, FileInput) or i.needed(values)), None)

    def first_empty_choice(self, values: Values, user_options: UserOptions) -> ChoiceInput | None:
        """The first choice without options, such as that of a user's model where the user has none."""
        choices = (i for i in self.inputs if isinstance(i, ChoiceInput))
        return next((i for i in choices if not i.options(values, user_options)), None)

    def validate(self, values: Values, user_options: UserOptions) -> dict[str, Any]:
        """Check a whole order.

        Args:
            values: What the user confirmed.
            user_options: The user's own options, fetched again at the order.

        Returns:
            The values of this service's inputs, and nothing else.

        Raises:
            InvalidRequest: An input is missing, or its value cannot be used. Its text says what to change.
        """
        validated: dict[str, Any] = {}
        for each in self.inputs:
            validated[each.id] = each.validate(values.get(each.id), {**values, **validated}, user_options)
        return validated
