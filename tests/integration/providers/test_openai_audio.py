"""OpenAISpeech and OpenAITranscription against an OpenAI on this machine."""

from collections.abc import AsyncIterator

import pytest

from providers.openai.speech import VOICES, OpenAISpeech
from providers.openai.transcription import MAX_AUDIO_BYTES, OpenAITranscription
from providers.protocols import ErrorKind, ProviderError
from tests.support.fake_providers.openai_server import KEY, FakeOpenAI
from tests.support.test_data.audio import beep, duration_and_loudness


@pytest.fixture
async def server() -> AsyncIterator[FakeOpenAI]:
    server = FakeOpenAI()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def speech(server: FakeOpenAI) -> AsyncIterator[OpenAISpeech]:
    provider = OpenAISpeech(KEY, server.url, timeout=2)
    yield provider
    await provider.close()


@pytest.fixture
async def transcription(server: FakeOpenAI) -> AsyncIterator[OpenAITranscription]:
    provider = OpenAITranscription(KEY, server.url, timeout=2)
    yield provider
    await provider.close()


async def test_speak_returns_a_voice_note(server: FakeOpenAI, speech: OpenAISpeech) -> None:
    voices = await speech.list_voices()
    assert {voice.id for voice in voices} == set(VOICES)
    assert not any(voice.cloned for voice in voices)
    seconds, loud = duration_and_loudness(await speech.speak("Тихое озеро между гор", voices[0].id, "ru"))
    assert seconds > 0.5
    assert loud > 0.1
    assert server.requests[0][1] | {"model": ""} == {
        "model": "",
        "input": "Тихое озеро между гор",
        "voice": voices[0].id,
        "response_format": "opus",
    }


@pytest.mark.parametrize(
    ("text", "voice", "kind"),
    [
        ("Hello", "own-1", ErrorKind.NOT_FOUND),
        ("", "alloy", ErrorKind.BAD_INPUT),
        ("x" * 4097, "alloy", ErrorKind.BAD_INPUT),
    ],
)
async def test_speak_with_invalid_input_sends_no_request(
    server: FakeOpenAI, speech: OpenAISpeech, text: str, voice: str, kind: ErrorKind
) -> None:
    with pytest.raises(ProviderError) as caught:
        await speech.speak(text, voice, "en")
    assert caught.value.kind is kind
    assert server.requests == []


async def test_missing_model_is_a_failure_and_not_a_missing_voice(
    server: FakeOpenAI, speech: OpenAISpeech
) -> None:
    server.fail_next(404, code="model_not_found")
    with pytest.raises(ProviderError) as caught:
        await speech.speak("Hello", "alloy", "en")
    assert caught.value.kind is ErrorKind.FAILED


async def test_speech_in_another_format_is_a_failure(server: FakeOpenAI, speech: OpenAISpeech) -> None:
    server.behaviour.speech = b"ID3 an mp3"
    with pytest.raises(ProviderError) as caught:
        await speech.speak("Hello", "alloy", "en")
    assert caught.value.kind is ErrorKind.FAILED


async def test_telegram_voice_message_is_sent_with_a_known_file_extension(
    server: FakeOpenAI, transcription: OpenAITranscription
) -> None:
    assert await transcription.transcribe(beep(0.5), "file_1.oga", "ru") == "a lake in the mountains"
    path, body = server.requests[0]
    assert path == "/audio/transcriptions"
    assert body["file"] == {"name": "file_1.ogg", "type": "audio/ogg", "data": beep(0.5)}


@pytest.mark.parametrize("audio", [b"text", b"\x89PNG\r\n\x1a\n", b"OggS" + bytes(MAX_AUDIO_BYTES)])
async def test_transcribe_without_valid_audio_sends_no_request(
    server: FakeOpenAI, transcription: OpenAITranscription, audio: bytes
) -> None:
    with pytest.raises(ProviderError) as caught:
        await transcription.transcribe(audio, "a.ogg", "en")
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert server.requests == []


async def test_transcribe_with_an_empty_transcript_is_bad_input(
    server: FakeOpenAI, transcription: OpenAITranscription
) -> None:
    server.behaviour.transcript = "  "
    with pytest.raises(ProviderError) as caught:
        await transcription.transcribe(beep(0.5), "a.ogg", "en")
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_used_up_quota_is_reported_without_a_retry(
    server: FakeOpenAI, speech: OpenAISpeech, transcription: OpenAITranscription
) -> None:
    for call in (
        lambda: speech.speak("Hello", "alloy", "en"),
        lambda: transcription.transcribe(beep(0.5), "a", "en"),
    ):
        server.fail_next(429, code="insufficient_quota")
        with pytest.raises(ProviderError) as caught:
            await call()
        assert caught.value.kind is ErrorKind.QUOTA
    assert len(server.requests) == 2
