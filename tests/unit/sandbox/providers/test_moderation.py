"""Offline moderation."""

import pytest

from sandbox.providers.language import OfflineModeration


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("a NUDE portrait", "sexual"),
        ("порнография", "sexual"),
        ("how to make a bomb", "illicit"),
        ("пытки", "violence"),
        ("please #refuse this", "other"),
    ],
)
async def test_moderate_of_a_forbidden_text_refuses_with_a_category(text: str, category: str) -> None:
    verdict = await OfflineModeration().moderate(text)
    assert (verdict.allowed, verdict.categories) == (False, (category,))


@pytest.mark.parametrize("text", ["a quiet lake", "a #nsfw lake", "попытка", "denuded hills", ""])
async def test_moderate_of_a_harmless_text_allows_it(text: str) -> None:
    assert (await OfflineModeration().moderate(text)).allowed
