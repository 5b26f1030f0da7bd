"""What a prompt asks to see, read from its words in English, Russian, Spanish and French."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_NEAR = 12  # characters between a colour and the subject that it belongs to
_PLAIN = str.maketrans("ёéèêëáàâäíìîïóòôöúùûüñç", "еeeeeaaaaiiiioooouuuunc")


def load_table(name: str) -> dict[str, Any]:
    """A TOML file of this folder."""
    return tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8"))


_WORDS, _SUBJECTS = load_table("words"), load_table("scenes")["subjects"]


class Theme(NamedTuple):
    """What is painted: names from words.toml, and colours of six hexadecimal digits."""

    setting: str
    subjects: list[str]
    hour: str
    weather: list[str]
    color: str | None  # that the prompt names next to the first subject
    tint: str | None  # that it names for anything else


def parse_theme(prompt: str, by_prompt: np.random.Generator, by_seed: np.random.Generator) -> Theme:
    """The theme of a prompt. A setting that it leaves open follows from the prompt, an hour from the seed too."""
    found, places = find_words("subjects", prompt), find_words("settings", prompt)
    if "studio" in places and not found:
        found = {str(by_seed.choice(("woman", "man"))): places["studio"]}
    named = "lake" if "lake" in places else next((place for place in places if place != "studio"), None)
    subjects = [name for name in found if (name, named) != ("flower", "meadow")][:2]  # a meadow has its own
    homes = [_SUBJECTS[name]["home"] for name in subjects if "home" in _SUBJECTS.get(name, {})]
    usual = (
        [*homes, "meadow"] if subjects else [by_prompt.choice(("lake", "mountains", "sea", "forest", "desert"))]
    )
    setting = named or str(usual[0])
    if setting == "sea" and not all({"swims", "flies"} & set(_SUBJECTS.get(name, {})) for name in subjects):
        setting = "beach"
    hours = [*find_words("hours", prompt), by_seed.choice(("dawn", "day", "day", "sunset", "dusk"))]
    hour = next(hour for hour in hours if hour != "fog" or len(hours) < 3)  # a storm may come at any hour
    color, place = next(iter(find_words("colors", prompt).items()), (None, 0))
    is_own = bool(subjects) and abs(found[subjects[0]] - place) <= _NEAR
    colors = (color, None) if is_own else (None, color)
    return Theme(setting, subjects, str(hour), list(find_words("weather", prompt)), *colors)


def find_words(table: str, prompt: str) -> dict[str, int]:
    """The entries of a table of words.toml that a text names, and where, in the text's order."""
    text = prompt.lower().translate(_PLAIN)
    found = {
        name: match.start() for name, words in _WORDS[table].items() if (match := _pattern(words).search(text))
    }
    return dict(sorted(found.items(), key=lambda each: each[1]))


@cache
def _pattern(words: str) -> re.Pattern[str]:
    endings = "|".join(words.split()).replace("*", r"\w*")
    return re.compile(rf"(?<!\w)(?:{endings})(?!\w)")
