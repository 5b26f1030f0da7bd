"""Choices that several services share."""

from collections.abc import Callable, Mapping

from services.generation.catalogue import Model
from services.generation.inputs import ChoiceInput, Option, UserOptions, Values


def selected_model(models: Mapping[str, Model], values: Values) -> Model:
    """The model that was chosen, or the first."""
    return models.get(values.get("model", ""), next(iter(models.values())))


def model_choice(models: Mapping[str, Model], fits: Callable[[Model, Values], bool] | None = None) -> ChoiceInput:
    """Which model of the catalogue, each with its price."""

    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        return tuple(model.option for model in models.values() if fits is None or fits(model, values))

    return ChoiceInput("model", options, columns=1)


def size_choice(models: Mapping[str, Model]) -> ChoiceInput:
    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        return tuple(Option(size, size) for size in selected_model(models, values).sizes) or (
            Option("auto", "auto"),
        )

    return ChoiceInput("size", options, columns=4)


def seconds_choice(models: Mapping[str, Model]) -> ChoiceInput:
    def options(values: Values, user_options: UserOptions) -> tuple[Option, ...]:
        model = selected_model(models, values)
        return tuple(
            Option(str(seconds), f"{seconds} s", f"{model.credits(seconds)} ⭐" if model.per == "second" else "")
            for seconds in model.seconds or (5,)
        )

    return ChoiceInput("seconds", options)


def fixed_choice(input_id: str, *options: Option, columns: int = 4) -> ChoiceInput:
    return ChoiceInput(input_id, lambda values, offers: options, columns)


def count_choice() -> ChoiceInput:
    return fixed_choice("count", *(Option(str(n), f"×{n}") for n in range(1, 5)))


def user_option_choice(input_id: str) -> ChoiceInput:
    """One of what only this person can choose."""
    return ChoiceInput(input_id, lambda values, offers: tuple(offers.get(input_id, ())), columns=1)
