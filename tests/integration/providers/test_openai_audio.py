"""OpenAISpeech and OpenAITranscription against an OpenAI on this machine."""

from collections.abc import AsyncIterator

import pytest

from providers.openai.speech import VOICES, OpenAISpeech
from providers.openai.transcription import LARGEST, OpenAITranscription
from providers.protocols import ErrorKind, ProviderError
from tests.support.fake_providers.openai_server import KEY, OpenAIStand
from tests.support.test_data.audio import beep, length_and_loudness


@pytest.fixture
async def stand() -> AsyncIterator[OpenAIStand]:
    stand = OpenAIStand()
    await stand.start()
    yield stand
    await stand.close()


@pytest.fixture
async def speech(stand: OpenAIStand) -> AsyncIterator[OpenAISpeech]:
    provider = OpenAISpeech(KEY, stand.url, timeout=2)
    yield provider
    await provider.close()


@pytest.fixture
async def transcription(stand: OpenAIStand) -> AsyncIterator[OpenAITranscription]:
    provider = OpenAITranscription(KEY, stand.url, timeout=2)
    yield provider
    await provider.close()


async def test_a_voice_note(stand: OpenAIStand, speech: OpenAISpeech) -> None:
    voices = await speech.voices()
    assert {voice.id for voice in voices} == set(VOICES)
    assert not any(voice.own for voice in voices)
    seconds, loud = length_and_loudness(await speech.speak("Тихое озеро между гор", voices[0].id, "ru"))
    assert seconds > 0.5
    assert loud > 0.1
    assert stand.questions[0][1] | {"model": ""} == {
        "model": "",
        "input": "Тихое озеро между гор",
        "voice": voices[0].id,
        "response_format": "opus",
    }


@pytest.mark.parametrize(
    ("words", "voice", "kind"),
    [
        ("Hello", "own-1", ErrorKind.NOT_FOUND),
        ("", "alloy", ErrorKind.BAD_INPUT),
        ("x" * 4097, "alloy", ErrorKind.BAD_INPUT),
    ],
)
async def test_what_is_not_even_asked(
    stand: OpenAIStand, speech: OpenAISpeech, words: str, voice: str, kind: ErrorKind
) -> None:
    with pytest.raises(ProviderError) as caught:
        await speech.speak(words, voice, "en")
    assert caught.value.kind is kind
    assert stand.questions == []


async def test_a_missing_model_is_no_missing_voice(stand: OpenAIStand, speech: OpenAISpeech) -> None:
    stand.refuse(404, code="model_not_found")
    with pytest.raises(ProviderError) as caught:
        await speech.speak("Hello", "alloy", "en")
    assert caught.value.kind is ErrorKind.FAILED


async def test_speech_that_is_no_voice_note(stand: OpenAIStand, speech: OpenAISpeech) -> None:
    stand.knobs.speech = b"ID3 an mp3"
    with pytest.raises(ProviderError) as caught:
        await speech.speak("Hello", "alloy", "en")
    assert caught.value.kind is ErrorKind.FAILED


async def test_a_voice_message_of_telegrams_gets_a_name_that_is_known(
    stand: OpenAIStand, transcription: OpenAITranscription
) -> None:
    assert await transcription.transcribe(beep(0.5), "file_1.oga", "ru") == "a lake in the mountains"
    path, body = stand.questions[0]
    assert path == "/audio/transcriptions"
    assert body["file"] == {"name": "file_1.ogg", "type": "audio/ogg", "data": beep(0.5)}


@pytest.mark.parametrize("audio", [b"text", b"\x89PNG\r\n\x1a\n", b"OggS" + bytes(LARGEST)])
async def test_what_is_no_recording(stand: OpenAIStand, transcription: OpenAITranscription, audio: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        await transcription.transcribe(audio, "a.ogg", "en")
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert stand.questions == []


async def test_a_recording_without_words(stand: OpenAIStand, transcription: OpenAITranscription) -> None:
    stand.knobs.words = "  "
    with pytest.raises(ProviderError) as caught:
        await transcription.transcribe(beep(0.5), "a.ogg", "en")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_refusals(stand: OpenAIStand, speech: OpenAISpeech, transcription: OpenAITranscription) -> None:
    for call in (
        lambda: speech.speak("Hello", "alloy", "en"),
        lambda: transcription.transcribe(beep(0.5), "a", "en"),
    ):
        stand.refuse(429, code="insufficient_quota")
        with pytest.raises(ProviderError) as caught:
            await call()
        assert caught.value.kind is ErrorKind.QUOTA
    assert len(stand.questions) == 2
