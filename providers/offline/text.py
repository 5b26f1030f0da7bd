"""OfflineText: a prompt made richer by what painters usually add; the person's words stay as they are."""

import hashlib
import re

import numpy as np

from providers.offline.audio.speech import language_of
from providers.offline.phrases import LIGHT, MOOD, QUALITY, VIEW
from providers.offline.scenery.theme import HOURS, first_named
from providers.protocols import ErrorKind, ProviderError

LONGEST = 1000
"""Characters of an improved prompt."""


class OfflineText:
    """TextProvider by phrase lists in English, Russian, Spanish and French."""

    name = "offline"
    offline = True

    async def improve(self, prompt: str, language: str) -> str:
        """The prompt with light, view, mood and finish added; the same prompt always gets the same ones."""
        words = " ".join(prompt.split())
        spoken = language_of(words, language)
        tongue = spoken if spoken in QUALITY else "en"
        richer = _cut(words)
        for phrase in _phrases(words, tongue):
            if phrase.lower() not in words.lower() and len(richer) + len(phrase) + 2 <= LONGEST:
                richer = f"{richer.rstrip(' ,.;')}, {phrase}" if richer else phrase
        return richer

    async def answer(self, task: str, words: str) -> str:
        """Nothing here understands words, so none are answered."""
        raise ProviderError(ErrorKind.NOT_FOUND, "offline: no model answers")

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def _phrases(prompt: str, language: str) -> list[str]:
    digest = hashlib.sha256(prompt.lower().encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8]))
    hour = first_named(HOURS, prompt)
    lights = LIGHT[language]
    light = lights[hour] if hour else lights["any"]
    choices = (light, VIEW[language], MOOD[language], QUALITY[language])
    return [phrases[int(rng.integers(len(phrases)))] for phrases in choices]


def _cut(words: str) -> str:
    """At most LONGEST characters, ending with a whole word."""
    return words if len(words) <= LONGEST else re.sub(r"\s+\S*$", "", words[: LONGEST + 1])[:LONGEST]
