"""OfflineText adds to a prompt and does not change it."""

import re

import pytest

from sandbox.providers.images.theme import load_table
from sandbox.providers.language import MAX_PROMPT_LENGTH, PHRASES, OfflineText


@pytest.mark.parametrize(
    ("prompt", "language"),
    [("a fox in the snow", "en"), ("лиса в снегу", "ru"), ("un zorro en la nieve", "es"), ("un renard", "fr")],
)
async def test_improve_keeps_the_prompt_and_adds_phrases_in_its_language(prompt: str, language: str) -> None:
    text = OfflineText()
    improved = await text.improve(prompt, language)
    assert improved.startswith(prompt)
    assert len(improved) > len(prompt) + 40
    assert any(phrase in improved for phrase in PHRASES[language]["mood"])
    assert await text.improve(prompt, language) == improved


async def test_improve_uses_the_language_of_the_prompt_not_of_the_user() -> None:
    improved = await OfflineText().improve("тихий лес ночью", "en")
    assert not re.search("[a-z]", improved)
    assert any(phrase in improved for phrase in PHRASES["ru"]["night"])


async def test_improve_of_different_prompts_adds_different_phrases() -> None:
    added = {(await OfflineText().improve(f"prompt {number}", "en"))[9:] for number in range(12)}
    assert len(added) > 6


@pytest.mark.parametrize("length", [MAX_PROMPT_LENGTH - 30, MAX_PROMPT_LENGTH, 1999])
async def test_improve_of_a_long_prompt_stays_within_the_limit(length: int) -> None:
    prompt = ("word " * 400)[:length]
    improved = await OfflineText().improve(prompt, "en")
    assert len(improved) <= MAX_PROMPT_LENGTH
    assert improved.startswith(prompt[:900])


def test_phrase_tables_are_the_same_in_every_language() -> None:
    assert set(PHRASES["en"]) >= {*load_table("words")["hours"], "any"}
    for language in ("ru", "es", "fr"):
        assert set(PHRASES[language]) == set(PHRASES["en"])
