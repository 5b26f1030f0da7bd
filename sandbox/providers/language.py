"""Moderation by a word list, prompts improved by phrase lists, and images described by measuring."""

import asyncio
import hashlib
import re
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image

from providers.protocols import ErrorKind, ModerationResult, ProviderError
from sandbox.providers.base import OfflineService
from sandbox.providers.images.drawing import Array, rgb
from sandbox.providers.images.files import open_image
from sandbox.providers.images.theme import find_words
from sandbox.providers.sound import detect_language

MAX_PROMPT_LENGTH = 1000
"""Characters of an improved prompt."""
PHRASES = tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))
_COLORS = {name: rgb(code) for name, code in PHRASES["colors"].items()}


class OfflineModeration(OfflineService):
    """ModerationProvider that refuses a few words in English and Russian, to try that with; it protects nobody.

    It refuses `#refuse`, too. A `#nsfw` passes here and fails later, at the work.
    """

    async def moderate(self, text: str) -> ModerationResult:
        patterns = {name: rf"(?<![\w#])(?:{words})(?!\w)" for name, words in PHRASES["forbidden"].items()}
        found = tuple(name for name, pattern in patterns.items() if re.search(pattern, text, re.IGNORECASE))
        return ModerationResult(allowed=not found, categories=found)


class OfflineText(OfflineService):
    """TextProvider that adds light by the hour that the prompt names, a view, a mood and a finish."""

    async def improve(self, prompt: str, language: str) -> str:
        """The prompt and its additions; the same prompt always gets the same ones."""
        improved = " ".join(prompt.split())
        if len(improved) > MAX_PROMPT_LENGTH:
            improved = improved[: MAX_PROMPT_LENGTH + 1].rpartition(" ")[0][:MAX_PROMPT_LENGTH]
        rng = np.random.default_rng(list(hashlib.sha256(improved.lower().encode()).digest()))
        phrases = PHRASES.get(detect_language(improved, language), PHRASES["en"])
        light = next(iter(find_words("hours", improved)), "any")
        for table in (light, "view", "mood", "finish"):
            phrase = str(rng.choice(phrases[table]))
            if phrase.lower() not in improved.lower() and len(improved) + len(phrase) + 2 <= MAX_PROMPT_LENGTH:
                improved = f"{improved.rstrip(' ,.;')}, {phrase}"
        return improved

    async def answer(self, instructions: str, question: str) -> str:
        """Always raises NOT_FOUND: nothing here understands a question."""
        raise ProviderError(ErrorKind.NOT_FOUND, "offline: no model answers")


class OfflineVision(OfflineService):
    """VisionProvider by measuring. It recognises no objects and reads no text."""

    async def describe(self, image: bytes) -> str:
        """An English prompt; ProviderError (BAD_INPUT) where these bytes are not an image."""
        return await asyncio.to_thread(describe_image, image)


def describe_image(data: bytes) -> str:
    """What the image looks like, as a prompt in English."""
    image = open_image(data, target_size=512)
    small = np.asarray(image.resize((48, 48), Image.Resampling.BOX), float)
    grey = np.asarray(image.convert("L").resize((256, 256)), float)
    words = [
        (grey.mean(), (45, 95, 160, 210), "very dark,dark,evenly lit,bright,very bright"),
        (np.ptp(np.percentile(grey, (5, 95))), (70, 190), "low-contrast,medium-contrast,high-contrast"),
        (image.width / image.height, (0.92, 1.09, 1.9), "portrait,square,landscape,panoramic"),
        (np.abs(np.diff(grey)).mean(), (1, 6), "smooth surfaces,moderate detail,rich texture"),
    ]
    light, contrast, shape, detail = (names.split(",")[np.searchsorted(limits, of)] for of, limits, names in words)
    places = {"top": small[:16], "centre": small[16:32, 16:32], "bottom": small[32:]}
    parts = [f"{_name_colors(pixels)[0]} in the {place}" for place, pixels in places.items()]
    picture = f"{light}, {contrast} {shape} picture in {' and '.join(_name_colors(small)[:3])}".capitalize()
    return ", ".join([picture, *parts, detail])


def _name_colors(pixels: Array) -> list[str]:
    """The names of the colours that cover more than a twentieth, the most common first."""
    distances = ((pixels.reshape(-1, 1, 3) - np.array(list(_COLORS.values()))) ** 2).sum(axis=2)
    counts = np.bincount(distances.argmin(axis=1), minlength=len(_COLORS))
    return [list(_COLORS)[at] for at in np.argsort(-counts) if counts[at] > counts.sum() / 20]
