"""The names and meanings of the 72 squares of Leela, in every language."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from services.core.i18n import DEFAULT_LANGUAGE
from services.leela.rules import LAST_SQUARE

SQUARES_DIR: Final = Path(__file__).resolve().parent / "squares"
"""The folder with one TOML file per language."""


class Square(BaseModel):
    """One square of the board in one language, as plain text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    meaning: str


_SQUARES_ADAPTER: Final = TypeAdapter(dict[int, Square])


@cache
def load_squares(language: str) -> dict[int, Square]:
    """Load all squares by number, once per language; in English if the language has no file."""
    path = SQUARES_DIR / f"{language}.toml"
    if not path.is_file():
        return load_squares(DEFAULT_LANGUAGE)
    return _SQUARES_ADAPTER.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))


def get_square(number: int, language: str) -> Square:
    """Return a square.

    Args:
        number: The square's number, 1 to 72.
        language: A language code; English is used if it has no file.

    Raises:
        ValueError: The number is not between 1 and 72.
    """
    if not 1 <= number <= LAST_SQUARE:
        raise ValueError(f"the board has no square {number}")
    return load_squares(language)[number]
