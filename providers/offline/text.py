"""OfflineText: a prompt made richer by what painters usually add; the person's words stay as they are."""

import hashlib
import re

import numpy as np

from providers.offline.audio.speech import detect_language
from providers.offline.phrases import LIGHTS, MOODS, QUALITIES, VIEWS
from providers.offline.scenery.theme import HOURS, find_first
from providers.protocols import ErrorKind, ProviderError

MAX_PROMPT_LENGTH = 1000
"""Characters of an improved prompt."""


class OfflineText:
    """TextProvider by phrase lists in English, Russian, Spanish and French."""

    name = "offline"
    offline = True

    async def improve(self, prompt: str, language: str) -> str:
        """The prompt with light, view, mood and finish added; the same prompt always gets the same ones."""
        words = " ".join(prompt.split())
        spoken = detect_language(words, language)
        phrase_language = spoken if spoken in QUALITIES else "en"
        improved = _truncate(words)
        for phrase in _pick_phrases(words, phrase_language):
            if phrase.lower() not in words.lower() and len(improved) + len(phrase) + 2 <= MAX_PROMPT_LENGTH:
                improved = f"{improved.rstrip(' ,.;')}, {phrase}" if improved else phrase
        return improved

    async def answer(self, instructions: str, question: str) -> str:
        """Nothing here understands words, so none are answered."""
        raise ProviderError(ErrorKind.NOT_FOUND, "offline: no model answers")

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def _pick_phrases(prompt: str, language: str) -> list[str]:
    digest = hashlib.sha256(prompt.lower().encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8]))
    hour = find_first(HOURS, prompt)
    lights = LIGHTS[language]
    light = lights[hour] if hour else lights["any"]
    choices = (light, VIEWS[language], MOODS[language], QUALITIES[language])
    return [phrases[int(rng.integers(len(phrases)))] for phrases in choices]


def _truncate(words: str) -> str:
    """At most LONGEST characters, ending with a whole word."""
    return (
        words
        if len(words) <= MAX_PROMPT_LENGTH
        else re.sub(r"\s+\S*$", "", words[: MAX_PROMPT_LENGTH + 1])[:MAX_PROMPT_LENGTH]
    )
