"""Sound: what users send in, Telegram's voice notes, and voices. espeak-ng speaks."""

import asyncio
import ctypes
import importlib
import io
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from providers.protocols import ErrorKind, ProviderError, Voice
from sandbox.providers.base import FAILURES, REJECTIONS, Folder, OfflineService, raise_if_triggered

_SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
"""These and the parameters' numbers are from espeak-ng's speak_lib.h."""
_RATE, _FRAME = 8000, 640
"""Samples per second and per frame in which the pitch of a recording is measured, by autocorrelation."""
AudioSamples = npt.NDArray[np.float32]  # one channel, from -1 to 1
_lock = threading.Lock()
_callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Timbre(BaseModel):
    """How a voice sounds: espeak-ng's variant, its pitch from 0 to 99, and words per minute."""

    variant: str
    pitch: int
    speed: int


STOCK_VOICES = {
    "anna": Timbre(variant="f2", pitch=52, speed=160),
    "maria": Timbre(variant="f5", pitch=40, speed=145),
    "alice": Timbre(variant="f3", pitch=62, speed=170),
    "david": Timbre(variant="m3", pitch=45, speed=150),
    "boris": Timbre(variant="m7", pitch=32, speed=140),
    "leo": Timbre(variant="m1", pitch=55, speed=165),
}


class _ClonedVoice(BaseModel):
    name: str
    timbre: Timbre
    created_at: datetime


class OfflineVoices(OfflineService):
    """VoiceProvider on this machine; cloned voices are files in `data_dir`, one each."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = Folder(data_dir)

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        raise_if_triggered(REJECTIONS | FAILURES, text)
        timbre = STOCK_VOICES.get(voice_id) or self._folder.load(_ClonedVoice, voice_id).timbre
        return await asyncio.to_thread(speak, text, language, timbre)

    async def list_voices(self) -> list[Voice]:
        """The stock voices, then the cloned ones, oldest first."""
        clones = sorted(self._folder.load_all(_ClonedVoice, "own-*"), key=lambda each: each[1].created_at)
        stock = [Voice(voice_id, voice_id.capitalize()) for voice_id in STOCK_VOICES]
        return stock + [Voice(voice_id, clone.name, cloned=True) for voice_id, clone in clones]

    async def clone(self, name: str, samples: Mapping[str, bytes]) -> str:
        if not name.strip():
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: a voice needs a name")
        raise_if_triggered(REJECTIONS, name)
        timbre = await asyncio.to_thread(match_voice, *samples.values())
        voice_id = f"own-{secrets.token_hex(8)}"
        self._folder.save(voice_id, _ClonedVoice(name=name, timbre=timbre, created_at=datetime.now(UTC)))
        return voice_id

    async def find_voice(self, name: str) -> str | None:
        voices = await self.list_voices()
        return next((voice.id for voice in reversed(voices) if voice.cloned and voice.name == name), None)

    async def delete(self, voice_id: str) -> None:
        self._folder.delete(voice_id)


class OfflineTranscription(OfflineService):
    """TranscriptionProvider that reads what the offline voices wrote into a voice note, and recognises no speech."""

    async def transcribe(self, audio: bytes, file_name: str, language: str) -> str:
        """The text in the note's comments; BAD_INPUT for a recording without it."""
        if not (text := read_spoken_text(audio).strip()):
            raise ProviderError(ErrorKind.BAD_INPUT, "offline: only the offline voices are understood")
        return text


def speak(text: str, language: str, voice: Timbre) -> bytes:
    """A voice note that speaks a text, which is also stored in its comments; BAD_INPUT without a single word."""
    if not re.search(r"\w", text) or len(text) > 10_000:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: nothing to say, or too much")
    with _lock:
        sound, rate = _synthesize(text, detect_language(text, language), voice)
    if not sound.any():
        raise ProviderError(ErrorKind.FAILED, "offline: espeak-ng is silent")
    return encode_voice_note(np.pad(sound * np.float32(0.85 / np.abs(sound).max()), rate // 10), rate, text)


def detect_language(text: str, language: str) -> str:
    """Russian for Cyrillic and not Russian for Latin letters, whatever language was asked for."""
    cyrillic, latin = (len(re.findall(letters, text, re.IGNORECASE)) for letters in ("[а-яё]", "[a-zà-ÿ]"))
    return "ru" if cyrillic > latin else "en" if language == "ru" and latin else language


@cache
def _load_espeak() -> tuple[Any, int]:
    """The library, which has global state, and the samples per second that it makes."""
    loader: Any = importlib.import_module("espeakng_loader")  # it has no types
    library: Any = ctypes.CDLL(loader.get_library_path())
    data = str(loader.get_data_path()).encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT) if len(data) <= 150 else 0
    if rate <= 0:  # espeak-ng has room for a path of 150 bytes
        raise ProviderError(ErrorKind.FAILED, "offline: espeak-ng did not start")
    return library, int(rate)


def _synthesize(text: str, language: str, voice: Timbre) -> tuple[AudioSamples, int]:
    library, rate = _load_espeak()
    parts = [np.zeros(0, np.float32)]

    def collect(samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / np.float32(32768))
        return 0

    callback = _callback_type(collect)  # the library does not own it
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(f"{language}+{voice.variant}".encode())
    library.espeak_SetParameter(1, voice.speed, 0)
    library.espeak_SetParameter(3, voice.pitch, 0)
    spoken = text.replace("\0", " ").encode() + b"\0"
    library.espeak_Synth(spoken, ctypes.c_size_t(len(spoken)), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return np.concatenate(parts), rate


def match_voice(*samples: bytes) -> Timbre:
    """A voice about as high as the one in the samples, and like none of the stock voices: a clone's stand-in."""
    sound = np.concatenate([np.zeros(0, np.float32), *(decode_audio(sample, _RATE, 30) for sample in samples)])
    frames = sound[: len(sound) // _FRAME * _FRAME].reshape(-1, _FRAME)
    alike = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * _FRAME)) ** 2)
    shortest, longest = _RATE // 350, _RATE // 70
    voiced = alike[alike[:, shortest:longest].max(axis=1) > 0.45 * alike[:, 0] + 1e-3, shortest:longest]
    if not len(voiced):
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: no voice can be heard in the samples")
    hertz = float(np.median(_RATE / (shortest + voiced.argmax(axis=1))))
    variants, usual = (("f1", "f4", "Annie", "linda"), 200) if hertz > 160 else (("m2", "m5", "m8", "paul"), 110)
    pitch = int(np.clip(50 + 55 * np.log2(hertz / usual), 5, 95))
    return Timbre(variant=variants[int(hertz * 7) % len(variants)], pitch=pitch, speed=150 + int(hertz) % 25)


def to_frame(sound: AudioSamples, rate: int) -> av.AudioFrame:
    """Sound as PyAV takes it; an encoder resamples it and cuts it to its own needs."""
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1).astype(np.float32), format="flt", layout="mono")
    frame.sample_rate = rate
    return frame


def encode_voice_note(sound: AudioSamples, rate: int, text: str = "") -> bytes:
    """OGG/Opus with one channel, as Telegram's voice notes are; `text` is written into its comments."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        container.metadata["spoken_text"] = text
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = 32_000
        stream.options = {"compression_level": "1"}  # ten minutes of speech in 3 s instead of 15
        container.mux([*stream.encode(to_frame(sound, rate)), *stream.encode(None)])
    return file.getvalue()


def read_spoken_text(note: bytes) -> str:
    """The text in the comments of a voice note, empty where there is none; BAD_INPUT where it is no sound."""
    with open_media(note, "audio") as container:
        tags = {**container.metadata, **container.streams.audio[0].metadata}
    return next((value for name, value in tags.items() if name.lower() == "spoken_text"), "")


def decode_audio(data: bytes, rate: int, max_seconds: float = 120.0) -> AudioSamples:
    """The sound of an audio or video file, at `rate` samples per second; ProviderError (BAD_INPUT) without sound."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    parts = [np.zeros(0, np.float32)]
    with open_media(data, "audio") as container:
        for frame in container.decode(audio=0):
            parts += [piece.to_ndarray().reshape(-1).astype(np.float32) for piece in resampler.resample(frame)]
            if sum(map(len, parts)) > max_seconds * rate:
                break
    return np.concatenate(parts)[: int(max_seconds * rate)]


@contextmanager
def open_media(data: bytes, kind: str) -> Iterator[av.container.InputContainer]:
    """A file with a stream of this kind, `audio` or `video`. ProviderError (BAD_INPUT) where it cannot be read."""
    try:
        with av.open(io.BytesIO(data), "r") as container:
            container.streams.get({kind: 0})[0]
            yield container
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: not {kind} ({type(error).__name__})") from error
