"""The model catalogue: models and their costs, read from models.toml and validated at startup."""

import math
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.generation.inputs import Option, Values

_MODELS_FILE: Final = Path(__file__).with_name("models.toml")

MARKUP: Final = Decimal("2.5")
"""The price of a result as a multiple of our cost."""
USD_PER_CREDIT: Final = Decimal("0.016")


class CatalogueError(ValueError):
    """models.toml is invalid. The message is one line that says what is wrong and where."""


class Model(BaseModel):
    """One entry of models.toml.

    The attributes ending in `_input` map our input names to the model's. An input with an empty name is not sent.

    Attributes:
        id: The id stored in orders and the journal. Never reused for another model.
        label: The name shown to users.
        model: The provider's name for the model: `owner/name`, or `owner/name:version`.
        usd: Our cost per unit, in US dollars.
        per: The unit: a result, a second or a training step.
        sizes: The aspect ratios that the model supports.
        size_values: The model's values for sizes that it calls by other names.
        seconds: The video lengths that the model supports, in seconds.
        count_input: The input for the number of results. If empty, each result takes a separate prediction.
        end_image_input: The input for the last frame of a video. If empty, the model does not support one.
        extra: Inputs with fixed values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9.\-]{1,24}$")
    label: str = Field(max_length=32)
    model: str = Field(pattern=r"^[\w.\-]+/[\w.\-]+(:\w+)?$")
    usd: Decimal = Field(gt=0)
    per: Literal["result", "second", "step"] = "result"
    sizes: tuple[str, ...] = ()
    size_values: Mapping[str, str] = {}
    seconds: tuple[int, ...] = ()
    size_input: str = ""
    count_input: str = ""
    seed_input: str = ""
    seconds_input: str = ""
    image_input: str = ""
    end_image_input: str = ""
    video_input: str = ""
    audio_input: str = ""
    own_model_input: str = ""
    steps_input: str = "steps"
    destination_input: str = "destination"
    gender_input: str = "gender"
    name_input: str = "name"
    images_input: str = "input_images"
    extra: Mapping[str, str | int | float | bool] = {}

    def credits(self, amount: int = 1) -> int:
        """Return the price of `amount` results, seconds or steps in credits: our cost plus markup, rounded up."""
        return math.ceil(self.usd * amount * MARKUP / USD_PER_CREDIT)

    @property
    def option(self) -> Option:
        """Return the model as an option, with the price of its smallest order."""
        amount = min(self.seconds, default=1) if self.per == "second" else 1
        return Option(self.id, self.label, f"{self.credits(amount)} ⭐")

    def build_input(self, **values: Any) -> dict[str, Any]:
        """Translate an order's values into the model's input.

        Args:
            **values: Values by our input names (`size`, `count`, `seed`, `seconds`, …). Names without a mapping are
                kept as they are. None values are not sent.

        Returns:
            The model's input, including `extra`.
        """
        model_input: dict[str, Any] = dict(self.extra)
        for name, value in values.items():
            if name == "size":
                value = self.size_values.get(value, value)  # noqa: PLW2901
            input_name = getattr(self, f"{name}_input", name)
            if input_name and value is not None:
                model_input[input_name] = value
        return model_input


_CATALOGUE_ADAPTER: Final = TypeAdapter(dict[str, tuple[Model, ...]])


def load_models(path: Path = _MODELS_FILE) -> dict[str, dict[str, Model]]:
    """Read the catalogue.

    Args:
        path: The catalogue file.

    Returns:
        The models by service and id, in the order of the file.

    Raises:
        CatalogueError: The file is not valid.
    """
    try:
        catalogue = _CATALOGUE_ADAPTER.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CatalogueError(f"{path.name}: {where}: {first['msg']}") from None
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{path.name}: {error}") from None
    by_service: dict[str, dict[str, Model]] = {}
    for service, models in catalogue.items():
        by_service[service] = {model.id: model for model in models}
        if len(by_service[service]) != len(models):
            raise CatalogueError(f"{path.name}: two models of {service} share an id")
    return by_service


MODELS: Final = load_models()


def selected_model(models: Mapping[str, Model], values: Values) -> Model:
    """Return the chosen model, or the first of `models` if none was chosen."""
    return models.get(values.get("model", ""), next(iter(models.values())))


def order_cost_usd(service: str, values: Values, *, price: int) -> Decimal:
    """Calculate our cost of an order from the catalogue.

    Services whose models are not in models.toml (a voice, a prompt from a photo) have no cost there. For these the
    cost is derived from the price, without the markup.

    Args:
        service: The service's id.
        values: The order's inputs.
        price: The price that the user paid, in credits.

    Returns:
        The cost in US dollars.
    """
    if service not in MODELS:
        return price * USD_PER_CREDIT / MARKUP
    model = selected_model(MODELS[service], values)
    amounts = {"result": values.get("count"), "second": values.get("seconds"), "step": values.get("steps")}
    return model.usd * int(amounts[model.per] or 1)
