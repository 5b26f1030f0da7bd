"""Offline speech, decoded again."""

import io

import av
import numpy as np
import pytest

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.sound import (
    STOCK_VOICES,
    decode_audio,
    detect_language,
    encode_voice_note,
    match_voice,
    speak,
)
from sandbox.providers.video import loudness

TEXTS = {
    "en": "A quiet lake between the mountains.",
    "ru": "Тихое озеро между гор.",
    "es": "Un lago tranquilo entre las montañas.",
    "fr": "Un lac tranquille entre les montagnes.",
}


@pytest.mark.parametrize("language", list(TEXTS))
def test_speak_in_every_language_returns_an_audible_voice_note(language: str) -> None:
    note = speak(TEXTS[language], language, STOCK_VOICES["anna"])
    with av.open(io.BytesIO(note), "r") as container:
        stream = container.streams.audio[0]
        assert (container.format.name, stream.codec_context.name) == ("ogg", "opus")
        assert stream.codec_context.channels == 1
    sound = decode_audio(note, 16_000)
    assert 1 < len(sound) / 16_000 < 6
    assert 0.02 < sound.std() < 0.5


def test_speak_of_a_longer_text_takes_longer() -> None:
    once, thrice = (
        len(decode_audio(speak(TEXTS["en"] * times, "en", STOCK_VOICES["leo"]), 8000)) for times in (1, 3)
    )
    assert 2 < thrice / once < 4


def test_match_voice_returns_a_voice_like_its_sample() -> None:
    low, high = (speak(TEXTS["en"], "en", STOCK_VOICES[name]) for name in ("boris", "anna"))
    like_low, like_high = match_voice(low), match_voice(high)
    assert like_low not in STOCK_VOICES.values()
    assert like_low.variant != like_high.variant
    again_low = match_voice(speak(TEXTS["en"], "en", like_low))
    assert again_low.variant.startswith(("m", "paul")), "a low voice stays low"
    assert low != high


@pytest.mark.parametrize(
    ("text", "requested", "expected"),
    [("Привет", "en", "ru"), ("Hello", "ru", "en"), ("Hola", "es", "es"), ("123", "ru", "ru")],
)
def test_detect_language_prefers_the_script_to_a_wrong_language(text: str, requested: str, expected: str) -> None:
    assert detect_language(text, requested) == expected


@pytest.mark.parametrize("text", ["", "  ", "🙂", "a" * 10_001])
def test_speak_without_a_speakable_text_raises(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        speak(text, "en", STOCK_VOICES["anna"])
    assert caught.value.kind is ErrorKind.BAD_INPUT


@pytest.mark.parametrize("sample", [b"", b"not sound", encode_voice_note(np.zeros(24_000, np.float32), 24_000)])
def test_match_voice_with_a_sample_without_voice_raises(sample: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        match_voice(sample)
    assert caught.value.kind is ErrorKind.BAD_INPUT


def test_loudness_follows_the_sound() -> None:
    beep = np.sin(np.arange(8000) / 4).astype(np.float32)
    levels = loudness(np.concatenate([np.zeros(8000, np.float32), beep]), 8000, 10)
    assert levels[:9].max() == 0
    assert levels[11:].min() > 0.9
