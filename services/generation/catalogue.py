"""The models an operator offers, read from models.toml and checked when the process starts."""

import math
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.generation.inputs import Option

MODELS_FILE = Path(__file__).with_name("models.toml")

MARKUP = Decimal("2.5")
USD_PER_CREDIT = Decimal("0.016")


class CatalogueError(ValueError):
    """One readable line that says what is wrong in models.toml, and where."""


class Model(BaseModel):
    """One entry of models.toml; the file itself says what each field means."""

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
        """The price of `amount` results, seconds or steps in whole Stars: cost with the markup, rounded up."""
        return math.ceil(self.usd * amount * MARKUP / USD_PER_CREDIT)

    @property
    def option(self) -> Option:
        return Option(
            self.id,
            self.label,
            f"{self.credits(min(self.seconds, default=1) if self._is_priced_per_second else 1)} ⭐",
        )

    @property
    def _is_priced_per_second(self) -> bool:
        return self.per == "second"

    def build_input(self, **values: Any) -> dict[str, Any]:
        """The model's own input for our values by name: `size`, `count`, `seed`, `seconds`; the rest as it is."""
        model_input: dict[str, Any] = dict(self.extra)
        for name, value in values.items():
            if name == "size":
                value = self.size_values.get(value, value)  # noqa: PLW2901
            input_name = getattr(self, f"{name}_input", name)
            if input_name and value is not None:
                model_input[input_name] = value
        return model_input


_CATALOGUE_ADAPTER = TypeAdapter(dict[str, tuple[Model, ...]])


def load_models(path: Path = MODELS_FILE) -> dict[str, dict[str, Model]]:
    """Models by service and id. Raises WrongCatalogue."""
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


MODELS = load_models()
