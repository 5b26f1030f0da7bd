"""Choices that several services share. Their options come from the catalogue, from the user, or are fixed."""

from collections.abc import Callable, Mapping

from services.generation.catalogue import Model, selected_model
from services.generation.inputs import ChoiceInput, Option, UserOptions, Values


def model_choice(models: Mapping[str, Model], fits: Callable[[Model, Values], bool] | None = None) -> ChoiceInput:
    """Choose a model of the catalogue; each is shown with its price.

    Args:
        models: The service's models.
        fits: Whether a model can do what the other values ask for. Others are not offered.
    """

    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        return tuple(model.option for model in models.values() if fits is None or fits(model, values))

    return ChoiceInput("model", options, columns=1)


def size_choice(models: Mapping[str, Model]) -> ChoiceInput:
    """Choose one of the sizes of the chosen model; `auto` where it has none."""

    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        return tuple(Option(size, size) for size in selected_model(models, values).sizes) or (
            Option("auto", "auto"),
        )

    return ChoiceInput("size", options, columns=4)


def seconds_choice(models: Mapping[str, Model]) -> ChoiceInput:
    """Choose the length of a video, with its price where the model is paid by the second.

    A model without lengths of its own makes videos of about 5 seconds, the only length on offer.
    """

    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        model = selected_model(models, values)
        return tuple(
            Option(str(seconds), f"{seconds} s", f"{model.credits(seconds)} ⭐" if model.per == "second" else "")
            for seconds in model.seconds or (5,)
        )

    return ChoiceInput("seconds", options)


def fixed_choice(input_id: str, *options: Option, columns: int = 4) -> ChoiceInput:
    """Choose one of options that are the same for every order and every user; the first is the default."""
    return ChoiceInput(input_id, lambda values, user_options: options, columns)


def count_choice() -> ChoiceInput:
    """Choose how many results are made, from 1 to 4."""
    return fixed_choice("count", *(Option(str(n), f"×{n}") for n in range(1, 5)))


def user_option_choice(input_id: str) -> ChoiceInput:
    """Choose one of the options that only this user has: see `ServiceSpec.user_options`."""
    return ChoiceInput(input_id, lambda values, user_options: tuple(user_options.get(input_id, ())), columns=1)
