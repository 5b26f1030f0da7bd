"""OpenAIVision and OpenAIText against an OpenAI on this machine."""

import io
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from providers.openai.text import LONGEST, OpenAIText
from providers.openai.vision import LARGEST, OpenAIVision
from providers.protocols import ErrorKind, ProviderError
from tests.support.fake_providers.openai_server import KEY, OpenAIStand


@pytest.fixture
async def stand() -> AsyncIterator[OpenAIStand]:
    stand = OpenAIStand()
    await stand.start()
    yield stand
    await stand.close()


@pytest.fixture
async def vision(stand: OpenAIStand) -> AsyncIterator[OpenAIVision]:
    provider = OpenAIVision(KEY, stand.url, model="gpt-see", timeout=2)
    yield provider
    await provider.close()


@pytest.fixture
async def text(stand: OpenAIStand) -> AsyncIterator[OpenAIText]:
    provider = OpenAIText(KEY, stand.url, model="gpt-write", timeout=2)
    yield provider
    await provider.close()


def photo(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 20, 200)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_the_picture_goes_out_as_bytes(stand: OpenAIStand, vision: OpenAIVision, kind: str) -> None:
    assert await vision.describe(photo(kind)) == f"A {kind} picture of 40 by 30, in soft light"
    path, body = stand.questions[0]
    assert (path, body["model"]) == ("/chat/completions", "gpt-see")


@pytest.mark.parametrize("image", [b"text renamed .jpg", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n" + bytes(LARGEST)])
async def test_what_is_no_picture_is_not_even_sent(stand: OpenAIStand, vision: OpenAIVision, image: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        await vision.describe(image)
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert stand.questions == []


async def test_a_broken_picture_is_the_persons_fault(vision: OpenAIVision) -> None:
    with pytest.raises(ProviderError) as caught:
        await vision.describe(b"\x89PNG\r\n\x1a\n broken")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_a_prompt_is_improved(stand: OpenAIStand, text: OpenAIText) -> None:
    assert await text.improve("озеро", "ru") == "озеро, in soft light"
    body = stand.questions[0][1]
    assert body["model"] == "gpt-write"
    assert body["messages"][-1] == {"role": "user", "content": "озеро"}
    assert "Russian" in body["messages"][0]["content"]
    stand.knobs.reply = "слово " * 400
    longest = await text.improve("озеро", "ru")
    assert LONGEST - 10 < len(longest) <= LONGEST
    assert longest.endswith("слово")
    with pytest.raises(ProviderError) as caught:
        await text.improve("  ", "ru")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_refused_and_empty_answers(stand: OpenAIStand, text: OpenAIText, vision: OpenAIVision) -> None:
    stand.knobs.refuses = True
    for call in (text.improve("x", "en"), vision.describe(photo("PNG"))):
        with pytest.raises(ProviderError) as caught:
            await call
        assert caught.value.kind is ErrorKind.MODERATION
    stand.knobs.refuses, stand.knobs.reply = False, " \n "
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
async def test_a_refusal_is_mapped_and_asked_once(
    stand: OpenAIStand, text: OpenAIText, status: int, code: str | None, kind: ErrorKind
) -> None:
    stand.refuse(status, code=code, retry_after=7, times=0)
    with pytest.raises(ProviderError) as caught:
        await text.improve("a lake", "en")
    assert caught.value.kind is kind
    assert caught.value.retry_after == (7 if status in {429, 503} else None)
    assert len(stand.questions) == 1


async def test_a_server_that_never_answers(stand: OpenAIStand) -> None:
    stand.knobs.hang = True
    provider = OpenAIVision(KEY, stand.url, timeout=0.2)
    with pytest.raises(ProviderError) as caught:
        await provider.describe(photo("PNG"))
    assert caught.value.kind is ErrorKind.TIMED_OUT
    await provider.close()
