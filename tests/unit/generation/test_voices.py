"""Stock voices are listed once in ten minutes, and kept while the provider is unavailable."""

from typing import cast

import pytest

from providers.protocols import ErrorKind, ProviderError, SpeechProvider, Voice
from services.generation.voices import StockVoices

ANNA, LEO = Voice("anna", "Anna"), Voice("leo", "Leo")


class FakeSpeech:
    """Lists `voices`, or fails if they are None."""

    offline = True

    def __init__(self, name: str, voices: list[Voice] | None) -> None:
        self.name = name
        self.voices = voices
        self.calls = 0

    async def list_voices(self) -> list[Voice]:
        self.calls += 1
        if self.voices is None:
            raise ProviderError(ErrorKind.OVERLOADED, "down")
        return self.voices


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def stock(clock: FakeClock) -> StockVoices:
    return StockVoices(clock)


async def list_voices(stock: StockVoices, provider: FakeSpeech) -> tuple[Voice, ...]:
    return await stock.list(cast("SpeechProvider", provider))


async def test_list_leaves_out_cloned_voices(stock: StockVoices) -> None:
    provider = FakeSpeech("one", [ANNA, Voice("x", "Somebody's", cloned=True), LEO])
    assert await list_voices(stock, provider) == (ANNA, LEO)


async def test_list_asks_once_in_ten_minutes(stock: StockVoices, clock: FakeClock) -> None:
    provider = FakeSpeech("one", [ANNA])
    await list_voices(stock, provider)
    clock.now = 599.0
    provider.voices = [LEO]
    assert await list_voices(stock, provider) == (ANNA,)
    clock.now = 600.0
    assert await list_voices(stock, provider) == (LEO,)
    assert provider.calls == 2


async def test_list_with_an_unavailable_provider_keeps_the_last_list_and_retries_after_20_seconds(
    stock: StockVoices, clock: FakeClock
) -> None:
    provider = FakeSpeech("one", [ANNA])
    await list_voices(stock, provider)
    clock.now, provider.voices = 600.0, None
    assert await list_voices(stock, provider) == (ANNA,)
    clock.now, provider.voices = 619.0, [LEO]
    assert await list_voices(stock, provider) == (ANNA,)
    clock.now = 620.0
    assert await list_voices(stock, provider) == (LEO,)
    assert provider.calls == 3


async def test_list_with_a_provider_never_reached_is_empty(stock: StockVoices) -> None:
    assert await list_voices(stock, FakeSpeech("one", None)) == ()


async def test_list_is_separate_for_each_provider_name(stock: StockVoices) -> None:
    assert await list_voices(stock, FakeSpeech("one", [ANNA])) == (ANNA,)
    assert await list_voices(stock, FakeSpeech("two", [LEO])) == (LEO,)
    assert await list_voices(stock, FakeSpeech("one", [LEO])) == (ANNA,)


async def test_clear_forgets_all_lists(stock: StockVoices) -> None:
    await list_voices(stock, FakeSpeech("one", [ANNA]))
    stock.clear()
    assert await list_voices(stock, FakeSpeech("one", None)) == ()
