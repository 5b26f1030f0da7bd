"""The models an operator offers, read from models.toml and checked when the process starts."""

import math
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

FILE = Path(__file__).with_name("models.toml")

MARKUP = Decimal("2.5")
USD_PER_STAR = Decimal("0.016")


class Model(BaseModel):
    """One entry of models.toml; the file itself says what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9.\-]{1,24}$")
    label: str = Field(max_length=32)
    model: str = Field(pattern=r"^[\w.\-]+/[\w.\-]+(:\w+)?$")
    usd: Decimal = Field(gt=0)
    sizes: tuple[str, ...] = ()
    size_values: Mapping[str, str] = {}
    size_input: str = ""
    count_input: str = ""
    seed_input: str = ""
    extra: Mapping[str, str | int | float | bool] = {}

    @property
    def stars(self) -> int:
        """The price of one result in whole Stars: cost with the markup, rounded up."""
        return math.ceil(self.usd * MARKUP / USD_PER_STAR)


_CATALOGUE = TypeAdapter(dict[str, tuple[Model, ...]])


def read_models(path: Path = FILE) -> dict[str, dict[str, Model]]:
    """Models by service and id. Raises ValueError naming what is wrong in the file."""
    catalogue = _CATALOGUE.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    by_service: dict[str, dict[str, Model]] = {}
    for service, models in catalogue.items():
        by_service[service] = {model.id: model for model in models}
        if len(by_service[service]) != len(models):
            raise ValueError(f"{path.name}: two models of {service} share an id")
    return by_service


MODELS = read_models()
