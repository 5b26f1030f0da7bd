"""OpenAIVision and OpenAIText against an OpenAI on this machine."""

import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from providers.openai.text import MAX_PROMPT_LENGTH, OpenAIText
from providers.openai.vision import MAX_IMAGE_BYTES, OpenAIVision
from providers.protocols import ErrorKind, ProviderError
from tests.support.fake_providers.openai_server import KEY, FakeOpenAI


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAI]:
    server = FakeOpenAI()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def vision(server: FakeOpenAI) -> AsyncIterator[OpenAIVision]:
    provider = OpenAIVision(KEY, server.url, model="gpt-see", timeout=2)
    yield provider
    await provider.close()


@pytest.fixture
async def text(server: FakeOpenAI) -> AsyncIterator[OpenAIText]:
    provider = OpenAIText(KEY, server.url, model="gpt-write", timeout=2)
    yield provider
    await provider.close()


def photo(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 20, 200)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_describe_sends_the_image_as_bytes(server: FakeOpenAI, vision: OpenAIVision, kind: str) -> None:
    assert await vision.describe(photo(kind)) == f"A {kind} image of 40 by 30, in soft light"
    path, body = server.requests[0]
    assert (path, body["model"]) == ("/chat/completions", "gpt-see")


@pytest.mark.parametrize(
    "image", [b"text renamed .jpg", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n" + bytes(MAX_IMAGE_BYTES)]
)
async def test_describe_without_a_valid_image_sends_no_request(
    server: FakeOpenAI, vision: OpenAIVision, image: bytes
) -> None:
    with pytest.raises(ProviderError) as caught:
        await vision.describe(image)
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert server.requests == []


async def test_describe_with_a_broken_image_is_bad_input(vision: OpenAIVision) -> None:
    with pytest.raises(ProviderError) as caught:
        await vision.describe(b"\x89PNG\r\n\x1a\n broken")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_improve_returns_a_prompt_of_limited_length(server: FakeOpenAI, text: OpenAIText) -> None:
    assert await text.improve("озеро", "ru") == "озеро, in soft light"
    body = server.requests[0][1]
    assert body["model"] == "gpt-write"
    assert body["messages"][-1] == {"role": "user", "content": "озеро"}
    assert "Russian" in body["messages"][0]["content"]
    server.behaviour.reply = "слово " * 400
    longest = await text.improve("озеро", "ru")
    assert MAX_PROMPT_LENGTH - 10 < len(longest) <= MAX_PROMPT_LENGTH
    assert longest.endswith("слово")
    with pytest.raises(ProviderError) as caught:
        await text.improve("  ", "ru")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_refused_answer_is_moderation_and_empty_answer_a_failure(
    server: FakeOpenAI, text: OpenAIText, vision: OpenAIVision
) -> None:
    server.behaviour.refuses = True
    for call in (text.improve("x", "en"), vision.describe(photo("PNG"))):
        with pytest.raises(ProviderError) as caught:
            await call
        assert caught.value.kind is ErrorKind.MODERATION
    server.behaviour.refuses, server.behaviour.reply = False, " \n "
    with pytest.raises(ProviderError) as caught:
        await text.improve("x", "en")
    assert caught.value.kind is ErrorKind.FAILED


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "content_policy_violation", ErrorKind.MODERATION),
        (401, "invalid_api_key", ErrorKind.FAILED),
        (404, "model_not_found", ErrorKind.NOT_FOUND),
        (429, "insufficient_quota", ErrorKind.QUOTA),
        (429, "rate_limit_exceeded", ErrorKind.RATE_LIMITED),
        (503, None, ErrorKind.OVERLOADED),
    ],
)
async def test_error_response_is_mapped_and_not_retried(
    server: FakeOpenAI, text: OpenAIText, status: int, code: str | None, kind: ErrorKind
) -> None:
    server.fail_next(status, code=code or "", retry_after=7, times=0)
    with pytest.raises(ProviderError) as caught:
        await text.improve("a lake", "en")
    assert caught.value.kind is kind
    assert caught.value.retry_after == (7 if status in {429, 503} else None)
    assert len(server.requests) == 1


async def test_server_without_answer_times_out(server: FakeOpenAI) -> None:
    server.hangs = True
    provider = OpenAIVision(KEY, server.url, timeout=0.2)
    with pytest.raises(ProviderError) as caught:
        await provider.describe(photo("PNG"))
    assert caught.value.kind is ErrorKind.TIMED_OUT
    await provider.close()
