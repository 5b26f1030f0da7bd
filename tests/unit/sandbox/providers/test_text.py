"""OfflineText makes a prompt richer and leaves its words alone."""

import re

import pytest

from providers.offline.phrases import LIGHTS, MOODS, QUALITIES, VIEWS
from providers.offline.scenery.theme import HOURS
from providers.offline.text import MAX_PROMPT_LENGTH, OfflineText


@pytest.mark.parametrize(
    ("prompt", "language"),
    [("a fox in the snow", "en"), ("лиса в снегу", "ru"), ("un zorro en la nieve", "es"), ("un renard", "fr")],
)
async def test_the_words_stay_and_more_come_in_the_same_language(prompt: str, language: str) -> None:
    text = OfflineText()
    richer = await text.improve(prompt, language)
    assert richer.startswith(prompt)
    assert len(richer) > len(prompt) + 40
    assert any(phrase in richer for phrase in MOODS[language])
    assert await text.improve(prompt, language) == richer


async def test_the_language_of_the_words_counts_and_not_that_of_the_person() -> None:
    richer = await OfflineText().improve("тихий лес ночью", "en")
    assert not re.search("[a-z]", richer)
    assert any(phrase in richer for phrase in LIGHTS["ru"]["night"])


async def test_different_prompts_get_different_company() -> None:
    added = {(await OfflineText().improve(f"prompt {number}", "en"))[9:] for number in range(12)}
    assert len(added) > 6


@pytest.mark.parametrize("length", [MAX_PROMPT_LENGTH - 30, MAX_PROMPT_LENGTH, 1999])
async def test_never_too_long(length: int) -> None:
    prompt = ("word " * 400)[:length]
    richer = await OfflineText().improve(prompt, "en")
    assert len(richer) <= MAX_PROMPT_LENGTH
    assert richer.startswith(prompt[:900])


def test_every_language_has_every_phrase() -> None:
    for table in (VIEWS, MOODS, QUALITIES, LIGHTS):
        assert set(table) == {"en", "ru", "es", "fr"}
    for hours in LIGHTS.values():
        assert set(hours) == {*HOURS, "any"}
