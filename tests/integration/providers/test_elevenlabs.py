"""ElevenLabsVoices against an ElevenLabs on this machine."""

from collections.abc import AsyncIterator

import pytest

from providers.elevenlabs.voices import MAX_SAMPLE_BYTES, ElevenLabsVoices
from providers.protocols import ErrorKind, ProviderError, Voice
from tests.support.fake_providers.elevenlabs_server import KEY, STOCK_VOICES, FakeElevenLabs
from tests.support.fake_providers.replicate_server import closed_port
from tests.support.test_data.audio import beep, duration_and_loudness

RACHEL = next(iter(STOCK_VOICES))


@pytest.fixture
async def server() -> AsyncIterator[FakeElevenLabs]:
    server = FakeElevenLabs()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def elevenlabs(server: FakeElevenLabs) -> AsyncIterator[ElevenLabsVoices]:
    provider = ElevenLabsVoices(KEY, server.url, timeout=2)
    yield provider
    await provider.close()


async def speak_error(elevenlabs: ElevenLabsVoices, text: str = "Hello", voice_id: str = RACHEL) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await elevenlabs.speak(text, voice_id, "en")
    assert KEY not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


async def test_speak_returns_a_voice_note(server: FakeElevenLabs, elevenlabs: ElevenLabsVoices) -> None:
    note = await elevenlabs.speak("Тихое озеро между гор", RACHEL, "ru")
    seconds, loud = duration_and_loudness(note)
    assert seconds > 0.5
    assert loud > 0.1
    assert server.speech_requests == [
        {"voice": RACHEL, "text": "Тихое озеро между гор", "model_id": "eleven_multilingual_v2"}
    ]
    assert server.requests[0][1].endswith("?output_format=opus_48000_64")


async def test_cloned_voice_speaks_until_it_is_deleted(
    server: FakeElevenLabs, elevenlabs: ElevenLabsVoices
) -> None:
    voice_id = await elevenlabs.clone("job 17", {"file_1.oga": beep(1.0), "b.ogg": beep(0.5)})
    assert server.samples[voice_id] == [("file_1.ogg", "audio/ogg", beep(1.0)), ("b.ogg", "audio/ogg", beep(0.5))]
    assert Voice(voice_id, "job 17", cloned=True) in await elevenlabs.list_voices()
    await elevenlabs.speak("Hello", voice_id, "en")
    await elevenlabs.delete(voice_id)
    await elevenlabs.delete(voice_id)
    assert (await speak_error(elevenlabs, voice_id=voice_id)).kind is ErrorKind.NOT_FOUND


async def test_clone_after_a_lost_response_is_found_and_not_repeated(
    server: FakeElevenLabs, elevenlabs: ElevenLabsVoices
) -> None:
    await elevenlabs.clone("job 1", {"a.ogg": beep(0.5)})
    server.behaviour.drop_next_responses = 1
    with pytest.raises(ProviderError) as caught:
        await elevenlabs.clone("job 17", {"a.ogg": beep(0.5)})
    assert caught.value.kind is ErrorKind.OVERLOADED
    assert [request[0] for request in server.requests] == ["POST", "POST"]
    assert await elevenlabs.find_voice("job 17") == list(server.voices)[-1]
    assert await elevenlabs.find_voice("job 1") == list(server.voices)[-2]
    assert await elevenlabs.find_voice("job") is None
    assert await elevenlabs.find_voice("Rachel") is None


async def test_list_voices_reads_all_pages(server: FakeElevenLabs, elevenlabs: ElevenLabsVoices) -> None:
    server.behaviour.max_page_size = 2
    for number in range(4):
        await elevenlabs.clone(f"voice {number}", {"a.ogg": beep(0.5)})
    voices = await elevenlabs.list_voices()
    assert len(voices) == 6
    assert {voice.name for voice in voices if not voice.cloned} == set(STOCK_VOICES.values())
    assert await elevenlabs.find_voice("voice 0") is not None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "quota_exceeded", ErrorKind.QUOTA),
        (401, "detected_unusual_activity", ErrorKind.FAILED),
        (401, "invalid_api_key", ErrorKind.FAILED),
        (403, "missing_permissions", ErrorKind.FAILED),
        (400, "voice_not_found", ErrorKind.NOT_FOUND),
        (404, "voice_not_found", ErrorKind.NOT_FOUND),
        (400, "max_character_limit_exceeded", ErrorKind.BAD_INPUT),
        (400, "content_policy_violation", ErrorKind.MODERATION),
        (422, "", ErrorKind.BAD_INPUT),
        (429, "too_many_concurrent_requests", ErrorKind.RATE_LIMITED),
        (429, "system_busy", ErrorKind.OVERLOADED),
        (409, "already_running", ErrorKind.FAILED),
        (500, "", ErrorKind.OVERLOADED),
        (503, "", ErrorKind.OVERLOADED),
    ],
)
async def test_error_response_is_mapped_and_not_retried(
    server: FakeElevenLabs, elevenlabs: ElevenLabsVoices, status: int, code: str, kind: ErrorKind
) -> None:
    server.fail_next(status, code, retry_after=9, times=0)
    error = await speak_error(elevenlabs)
    assert error.kind is kind
    assert error.retry_after == (9 if status in {429, 503} else None)
    assert len(server.requests) == 1


async def test_failed_calls_are_not_retried(server: FakeElevenLabs, elevenlabs: ElevenLabsVoices) -> None:
    server.fail_next(500, times=0)
    for call in (
        lambda: elevenlabs.clone("x", {"a.ogg": beep(0.5)}),
        elevenlabs.list_voices,
        lambda: elevenlabs.find_voice("x"),
        lambda: elevenlabs.delete(RACHEL),
        elevenlabs.check,
    ):
        server.requests.clear()
        with pytest.raises(ProviderError) as caught:
            await call()
        assert caught.value.kind is ErrorKind.OVERLOADED
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("text", "voice_id", "kind"),
    [
        ("🙂", RACHEL, ErrorKind.BAD_INPUT),
        ("x" * 10_001, RACHEL, ErrorKind.BAD_INPUT),
        ("Hello", "../voices", ErrorKind.NOT_FOUND),
        ("Hello", "", ErrorKind.NOT_FOUND),
    ],
)
async def test_invalid_input_sends_no_request(
    server: FakeElevenLabs, elevenlabs: ElevenLabsVoices, text: str, voice_id: str, kind: ErrorKind
) -> None:
    assert (await speak_error(elevenlabs, text, voice_id)).kind is kind
    for samples in ({}, {"a.ogg": bytes(MAX_SAMPLE_BYTES + 1)}):
        with pytest.raises(ProviderError):
            await elevenlabs.clone("x", samples)
    assert server.requests == []


async def test_speech_in_another_format_is_a_failure(server: FakeElevenLabs, elevenlabs: ElevenLabsVoices) -> None:
    server.behaviour.speech = b"ID3 an mp3"
    assert (await speak_error(elevenlabs)).kind is ErrorKind.FAILED


async def test_wrong_key_silent_server_and_closed_port_have_their_error_kinds(server: FakeElevenLabs) -> None:
    unauthorized = ElevenLabsVoices("sk_wrong", server.url)
    with pytest.raises(ProviderError) as caught:
        await unauthorized.check()
    assert caught.value.kind is ErrorKind.FAILED
    await unauthorized.close()
    server.hangs = True
    for address, kind in (
        (server.url, ErrorKind.TIMED_OUT),
        (f"http://127.0.0.1:{closed_port()}", ErrorKind.OVERLOADED),
    ):
        provider = ElevenLabsVoices(KEY, address, timeout=0.3)
        assert (await speak_error(provider)).kind is kind
        await provider.close()
