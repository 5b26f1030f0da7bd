"""OpenAIModeration against a stand-in on this machine."""

from collections.abc import AsyncIterator

import pytest

from providers.openai.moderation import OpenAIModeration
from providers.protocols import ErrorKind, ProviderError
from tests.support.fake_providers.openai_server import KEY, FakeOpenAI
from tests.support.fake_providers.replicate_server import closed_port


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAI]:
    server = FakeOpenAI()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def moderation(server: FakeOpenAI) -> AsyncIterator[OpenAIModeration]:
    provider = OpenAIModeration(KEY, server.url, timeout=2)
    yield provider
    await provider.close()


async def test_moderate_returns_a_verdict_with_its_categories(
    server: FakeOpenAI, moderation: OpenAIModeration
) -> None:
    server.behaviour.flagged_words = {"бомба": "illicit/violent"}
    assert (await moderation.moderate("a quiet lake")).allowed
    verdict = await moderation.moderate("бомба")
    assert (verdict.allowed, verdict.categories) == (False, ("illicit/violent",))
    assert server.moderated_texts == ["a quiet lake", "бомба"]


@pytest.mark.parametrize(
    ("status", "code", "kind", "retry_after"),
    [
        (400, None, ErrorKind.BAD_INPUT, None),
        (400, "content_policy_violation", ErrorKind.MODERATION, None),
        (401, "invalid_api_key", ErrorKind.FAILED, None),
        (429, "insufficient_quota", ErrorKind.QUOTA, None),
        (429, "rate_limit_exceeded", ErrorKind.RATE_LIMITED, 7.0),
        (500, None, ErrorKind.OVERLOADED, None),
    ],
)
async def test_error_response_is_mapped_and_not_retried(
    server: FakeOpenAI,
    moderation: OpenAIModeration,
    status: int,
    code: str | None,
    kind: ErrorKind,
    retry_after: float | None,
) -> None:
    server.fail_next(
        status, code=code or "", retry_after=retry_after, times=0, message=f"Incorrect API key provided: {KEY}"
    )
    with pytest.raises(ProviderError) as caught:
        await moderation.moderate("a lake")
    assert (caught.value.kind, caught.value.retry_after) == (kind, retry_after)
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__
    assert len(server.moderated_texts) == 1


async def test_server_without_answer_times_out(server: FakeOpenAI) -> None:
    server.hangs = True
    provider = OpenAIModeration(KEY, server.url, timeout=0.2)
    with pytest.raises(ProviderError) as caught:
        await provider.moderate("a lake")
    assert caught.value.kind is ErrorKind.TIMED_OUT
    await provider.close()


async def test_closed_port_means_overloaded() -> None:
    provider = OpenAIModeration(KEY, f"http://127.0.0.1:{closed_port()}/v1")
    with pytest.raises(ProviderError) as caught:
        await provider.moderate("a lake")
    assert caught.value.kind is ErrorKind.OVERLOADED
    await provider.close()
