"""The stand-in for moderation."""

import pytest

from providers.offline.moderation import OfflineModeration


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
async def test_refused(text: str, category: str) -> None:
    verdict = await OfflineModeration().moderate(text)
    assert (verdict.allowed, verdict.categories) == (False, (category,))


@pytest.mark.parametrize("text", ["a quiet lake", "a #nsfw lake", "попытка", "denuded hills", ""])
async def test_allowed(text: str) -> None:
    assert (await OfflineModeration().moderate(text)).allowed
