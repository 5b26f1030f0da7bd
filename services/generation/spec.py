"""Describes a service: everything that the menu, the order conversation, Inngest, prices and help need to know."""

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
    """A service that users can order. The keys of its texts are `service.<id>.name`, `.about` and `.ask.<input>`.

    Attributes:
        id: The service's id in orders, in the journal and in text keys.
        event: The event that starts a job on Plan A.
        function_id: The Inngest function that runs a job on Plan A.
        emoji: The service's symbol in the menu.
        inputs: The inputs, in the order in which they are asked for.
        price: Calculates the price of validated values, in whole credits.
        run: Does the work of a job. It may be called several times for one job, so all of its work must go through
            `context.steps`. On failure it raises a Failure or a ProviderError.
        menu_position: The position in the menu, lowest first.
        user_options: Finds the user options: the user's models or voices.
        created_by: The service that creates missing user options, such as a user model.
        concurrency: The most jobs run at once on Plan A, across all processes.
        starts_per_minute: The most jobs started per minute on Plan A, across all processes. All services together
            stay below the provider's limit, which at Replicate is 600 predictions per minute:
            https://replicate.com/docs/topics/predictions/rate-limits
        time_limit_seconds: The time limit for its predictions; 0 if it starts none.
        cancel_at: The provider at which its predictions are cancelled.
        actions: The buttons under a result: `again`, the id of an input, or the id of a service that takes the result.
        notify_failure_later: Whether a failure is reported by a notification, for work that takes so long that the
            user has left the chat.
        takes_free_text: Whether a text sent outside of a draft opens a draft of this service.
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
        """Return the input with this id, or None."""
        return next((each for each in self.inputs if each.id == input_id), None)

    @property
    def text_input(self) -> TextInput | None:
        """Return the input that takes a text sent while the draft is open, or None."""
        return next((each for each in self.inputs if isinstance(each, TextInput) and each.main), None)

    def summary(self, values: Values, user_options: UserOptions) -> str:
        """Return the labels of the chosen options in one line."""
        selected = (i.selected(values, user_options) for i in self.inputs if isinstance(i, ChoiceInput))
        return " · ".join(option.label for option in selected if option)

    def prompts(self, values: Values) -> list[str]:
        """Return the texts that the user entered."""
        return [values[i.id] for i in self.inputs if isinstance(i, TextInput) and values.get(i.id)]

    def with_defaults(self, values: Values, user_options: UserOptions) -> dict[str, Any]:
        """Fill in the defaults of a draft.

        Args:
            values: The values chosen so far.
            user_options: The user options.

        Returns:
            The values, with the default for each choice that is missing or no longer offered; None for a choice
            without options.
        """
        completed = dict(values)
        for each in self.inputs:
            if isinstance(each, ChoiceInput):
                option = each.selected(completed, user_options)
                completed[each.id] = option.value if option else None
        return completed

    def first_missing(self, values: Values) -> Input | None:
        """Return the first input that the user still has to provide, or None if the draft is complete."""
        unanswered = (i for i in self.inputs if not isinstance(i, ChoiceInput) and values.get(i.id) is None)
        return next((i for i in unanswered if not isinstance(i, FileInput) or i.needed(values)), None)

    def first_empty_choice(self, values: Values, user_options: UserOptions) -> ChoiceInput | None:
        """Return the first choice without options, such as the model of a user who has none."""
        choices = (i for i in self.inputs if isinstance(i, ChoiceInput))
        return next((i for i in choices if not i.options(values, user_options)), None)

    def validate(self, values: Values, user_options: UserOptions) -> dict[str, Any]:
        """Validate a whole order.

        Args:
            values: The confirmed values.
            user_options: The user options, fetched again for the order.

        Returns:
            The validated values of this service's inputs, and no others.

        Raises:
            InvalidRequest: An input is missing or its value is not allowed. The text tells the user what to change.
        """
        validated: dict[str, Any] = {}
        for each in self.inputs:
            validated[each.id] = each.validate(values.get(each.id), {**values, **validated}, user_options)
        return validated
