"""OfflineVoices and OfflineTranscription: voices that speak, are kept and found, and are transcribed."""

from pathlib import Path

import numpy as np
import pytest

from providers.protocols import ErrorKind, ProviderError, Voice
from sandbox.providers.sound import OfflineTranscription, OfflineVoices, decode_audio
from tests.support.test_data.audio import beep, duration_and_loudness

TEXTS = {
    "en": "A quiet lake between the mountains.",
    "ru": "Тихое озеро между гор; «лодка» = тишина.",
    "es": "Un lago tranquilo entre las montañas.",
    "fr": "Un lac tranquille entre les montagnes.",
}


def file_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("language", list(TEXTS))
async def test_speak_with_a_stock_voice_is_transcribed_to_the_same_text(tmp_path: Path, language: str) -> None:
    offline = OfflineVoices(tmp_path)
    stock = await offline.list_voices()
    assert Voice("anna", "Anna") in stock
    assert not any(voice.cloned for voice in stock)
    note = await offline.speak(TEXTS[language], "anna", language)
    seconds, loud = duration_and_loudness(note)
    assert note.startswith(b"OggS")
    assert 1 < seconds < 7
    assert 0.02 < loud < 0.5
    assert await OfflineTranscription().transcribe(note, "voice.oga", language) == TEXTS[language]


async def test_clone_is_kept_and_differs_from_all_stock_voices(tmp_path: Path) -> None:
    offline = OfflineVoices(tmp_path)
    sample = await offline.speak(TEXTS["ru"] * 2, "boris", "ru")
    voice_id = await offline.clone("Мой голос", {"voice.oga": sample})
    after_a_restart = OfflineVoices(tmp_path)
    assert (await after_a_restart.list_voices())[-1] == Voice(voice_id, "Мой голос", cloned=True)
    clone_samples = decode_audio(await after_a_restart.speak(TEXTS["ru"], voice_id, "ru"), 8000)
    for stock in await offline.list_voices():
        if not stock.cloned:
            stock_samples = decode_audio(await offline.speak(TEXTS["ru"], stock.id, "ru"), 8000)
            size = min(clone_samples.size, stock_samples.size)
            spectra = [np.abs(np.fft.rfft(sound[:size])) for sound in (clone_samples, stock_samples)]
            similarity = float(np.corrcoef(spectra[0], spectra[1])[0, 1])
            assert similarity < 0.9, stock.name


async def test_find_voice_after_delete_finds_the_older_one(tmp_path: Path) -> None:
    offline = OfflineVoices(tmp_path)
    sample = {"a.ogg": await offline.speak(TEXTS["en"], "anna", "en")}
    await offline.clone("mine", sample)
    newer = await offline.clone("mine", sample)
    assert await offline.find_voice("mine") == newer
    assert await offline.find_voice("Mine") is None
    await offline.delete(newer)
    await offline.delete(newer)
    assert await offline.find_voice("mine") not in {None, newer}
    with pytest.raises(ProviderError) as caught:
        await offline.speak("Hello", newer, "en")
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize("voice_id", ["own-1", "../../etc/passwd", "", "nobody"])
async def test_speak_with_an_unknown_voice_raises_not_found(tmp_path: Path, voice_id: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineVoices(tmp_path).speak("Hello", voice_id, "en")
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(
    ("name", "samples"), [("me", {}), ("me", {"a.ogg": b"text"}), (" ", {"a.ogg": beep(0.5)})]
)
async def test_clone_with_an_invalid_sample_raises_and_stores_nothing(
    tmp_path: Path, name: str, samples: dict[str, bytes]
) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineVoices(tmp_path).clone(name, samples)
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert file_names(tmp_path) == []


async def test_speak_with_a_fault_trigger_raises(tmp_path: Path) -> None:
    offline = OfflineVoices(tmp_path)
    for trigger, kind in (("#busy", ErrorKind.OVERLOADED), ("#fail", ErrorKind.FAILED)):
        with pytest.raises(ProviderError) as caught:
            await offline.speak(f"Hello {trigger}", "anna", "en")
        assert caught.value.kind is kind


@pytest.mark.parametrize("audio", [beep(0.5), b"not sound"])
async def test_transcribe_of_an_unknown_recording_raises(audio: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineTranscription().transcribe(audio, "voice.oga", "en")
    assert caught.value.kind is ErrorKind.BAD_INPUT
