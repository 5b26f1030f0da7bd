"""Choices shared by several services. The options come from the catalogue or from the user, or are fixed."""

from collections.abc import Callable, Mapping

from services.generation.catalogue import Model, selected_model
from services.generation.inputs import ChoiceInput, Option, UserOptions, Values


def model_choice(models: Mapping[str, Model], fits: Callable[[Model, Values], bool] | None = None) -> ChoiceInput:
    """A choice of model, each shown with its price.

    Args:
        models: The service's models.
        fits: Whether a model supports the order's other values. Models that do not are not offered.
    """

    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        return tuple(model.option for model in models.values() if fits is None or fits(model, values))

    return ChoiceInput("model", options, columns=1)


def size_choice(models: Mapping[str, Model]) -> ChoiceInput:
    """A choice of the chosen model's sizes; `auto` if it has none."""

    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        return tuple(Option(size, size) for size in selected_model(models, values).sizes) or (
            Option("auto", "auto"),
        )

    return ChoiceInput("size", options, columns=4)


def seconds_choice(models: Mapping[str, Model]) -> ChoiceInput:
    """A choice of video length, shown with the price if the model is paid per second.

    A model without lengths in the catalogue offers only one, 5 seconds, which is approximate.
    """

    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        model = selected_model(models, values)
        return tuple(
            Option(str(seconds), f"{seconds} s", f"{model.credits(seconds)} ⭐" if model.per == "second" else "")
            for seconds in model.seconds or (5,)
        )

    return ChoiceInput("seconds", options)


def fixed_choice(input_id: str, *options: Option, columns: int = 4) -> ChoiceInput:
    """A choice between options that are the same for all orders and users. The first is the default."""
    return ChoiceInput(input_id, lambda values, user_options: options, columns)


def count_choice() -> ChoiceInput:
    """A choice of the number of results, from 1 to 4."""
    return fixed_choice("count", *(Option(str(n), f"×{n}") for n in range(1, 5)))


def user_option_choice(input_id: str) -> ChoiceInput:
    """A choice between the user options (see `ServiceSpec.user_options`)."""
    return ChoiceInput(input_id, lambda values, user_options: tuple(user_options.get(input_id, ())), columns=1)
