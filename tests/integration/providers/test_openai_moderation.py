"""OpenAIModeration against a stand-in on this machine."""

from collections.abc import AsyncIterator

import pytest

from providers.openai.moderation import OpenAIModeration
from providers.protocols import ErrorKind, ProviderError
from tests.support.fake_providers.openai_server import KEY, OpenAIStand
from tests.support.fake_providers.replicate_server import closed_port


@pytest.fixture
async def stand() -> AsyncIterator[OpenAIStand]:
    stand = OpenAIStand()
    await stand.start()
    yield stand
    await stand.close()


@pytest.fixture
async def moderation(stand: OpenAIStand) -> AsyncIterator[OpenAIModeration]:
    provider = OpenAIModeration(KEY, stand.url, timeout=2)
    yield provider
    await provider.close()


async def test_a_verdict(stand: OpenAIStand, moderation: OpenAIModeration) -> None:
    stand.knobs.flagged_words = {"бомба": "illicit/violent"}
    assert (await moderation.moderate("a quiet lake")).allowed
    verdict = await moderation.moderate("бомба")
    assert (verdict.allowed, verdict.categories) == (False, ("illicit/violent",))
    assert stand.asked == ["a quiet lake", "бомба"]


@pytest.mark.parametrize(
    ("status", "code", "kind", "wait"),
    [
        (400, None, ErrorKind.BAD_INPUT, None),
        (400, "content_policy_violation", ErrorKind.MODERATION, None),
        (401, "invalid_api_key", ErrorKind.FAILED, None),
        (429, "insufficient_quota", ErrorKind.QUOTA, None),
        (429, "rate_limit_exceeded", ErrorKind.RATE_LIMITED, 7.0),
        (500, None, ErrorKind.OVERLOADED, None),
    ],
)
async def test_a_refusal_is_mapped_and_asked_once(
    stand: OpenAIStand,
    moderation: OpenAIModeration,
    status: int,
    code: str | None,
    kind: ErrorKind,
    wait: float | None,
) -> None:
    stand.refuse(status, code=code, retry_after=wait, times=0, message=f"Incorrect API key provided: {KEY}")
    with pytest.raises(ProviderError) as caught:
        await moderation.moderate("a lake")
    assert (caught.value.kind, caught.value.retry_after) == (kind, wait)
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__
    assert len(stand.asked) == 1


async def test_a_server_that_never_answers(stand: OpenAIStand) -> None:
    stand.knobs.hang = True
    provider = OpenAIModeration(KEY, stand.url, timeout=0.2)
    with pytest.raises(ProviderError) as caught:
        await provider.moderate("a lake")
    assert caught.value.kind is ErrorKind.TIMED_OUT
    await provider.close()


async def test_a_closed_port() -> None:
    provider = OpenAIModeration(KEY, f"http://127.0.0.1:{closed_port()}/v1")
    with pytest.raises(ProviderError) as caught:
        await provider.moderate("a lake")
    assert caught.value.kind is ErrorKind.OVERLOADED
    await provider.close()
