"""Reading and writing sound: what users send in, Telegram's voice notes out."""

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from providers.protocols import ErrorKind, ProviderError

_OPUS_RATE = 48_000
_OPUS_FRAME_SIZE = 960
_TEXT_TAG = "spoken_text"
"""The comment of our own voice notes that says what they speak."""

AudioSamples = npt.NDArray[np.float32]
"""One channel, from -1 to 1."""


def encode_voice_note(sound: AudioSamples, rate: int, text: str = "") -> bytes:
    """OGG/Opus with one channel, as Telegram's voice notes are; `text` is written into its comments."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as container:
        if text:
            container.metadata[_TEXT_TAG] = text
        stream = container.add_stream("libopus", rate=_OPUS_RATE, layout="mono")
        stream.bit_rate = 32_000
        stream.options = {"compression_level": "1"}  # ten minutes of speech in 3 s instead of 15
        for block in split_into_frames(_resample(sound, rate, _OPUS_RATE), _OPUS_FRAME_SIZE, _OPUS_RATE):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return file.getvalue()


def read_spoken_text(note: bytes) -> str:
    """The text in the comments of a sound file, empty where there is none; BAD_INPUT where it is no sound."""
    try:
        with av.open(io.BytesIO(note), "r") as container:
            if not container.streams.audio:
                raise ProviderError(ErrorKind.BAD_INPUT, "offline: a file without sound")
            tags = {**container.metadata, **container.streams.audio[0].metadata}
    except (av.FFmpegError, ValueError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: unreadable sound ({type(error).__name__})") from error
    return next((value for name, value in tags.items() if name.lower() == _TEXT_TAG), "")


def decode_audio(data: bytes, rate: int, max_seconds: float = 120.0) -> AudioSamples:
    """The sound of an audio or video file, at most `max_seconds` of it, one channel.

    ProviderError (BAD_INPUT) where the file has no sound that can be read.
    """
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    parts: list[AudioSamples] = []
    count = 0
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if not container.streams.audio:
                raise ProviderError(ErrorKind.BAD_INPUT, "offline: a file without sound")
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    parts.append(piece.to_ndarray().reshape(-1).astype(np.float32))
                    count += parts[-1].size
                if count > max_seconds * rate:
                    break
    except (av.FFmpegError, ValueError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: unreadable sound ({type(error).__name__})") from error
    if not count:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: a file without sound")
    return np.concatenate(parts)[: int(max_seconds * rate)]


def _resample(sound: AudioSamples, rate: int, wanted: int) -> AudioSamples:
    """The same sound at another rate."""
    if rate == wanted:
        return sound
    resampler = av.AudioResampler(format="flt", layout="mono", rate=wanted)
    parts = [
        piece.to_ndarray().reshape(-1).astype(np.float32)
        for block in [*_to_frames(sound, rate), None]
        for piece in resampler.resample(block)
    ]
    return np.concatenate(parts)


def _to_frames(sound: AudioSamples, rate: int) -> list[av.AudioFrame]:
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1).astype(np.float32), format="flt", layout="mono")
    frame.sample_rate = rate
    return [frame]


def loudness(sound: AudioSamples, rate: int, fps: float) -> AudioSamples:
    """How loud each frame of a video is, 0 to 1, rising fast and falling slowly as a mouth does."""
    size = max(1, round(rate / fps))
    count = -(-len(sound) // size)
    padded = np.zeros(count * size, np.float32)
    padded[: len(sound)] = sound
    loud = np.sqrt((padded.reshape(count, size) ** 2).mean(axis=1))
    top = float(np.percentile(loud, 95)) if count else 0.0
    if top < 1e-4:
        return np.zeros(count, np.float32)
    level: AudioSamples = np.clip((loud / top - 0.12) / 0.88, 0, 1) ** np.float32(0.7)
    for number in range(1, count):
        level[number] = max(level[number], level[number - 1] * 0.62)
    return level


def split_into_frames(sound: npt.NDArray[Any], size: int, rate: int) -> Iterable[av.AudioFrame]:
    """The sound in blocks of `size` samples, the last one filled up with silence."""
    for start in range(0, len(sound), size):
        part = np.zeros((1, size), np.float32)
        given = sound[start : start + size]
        part[0, : len(given)] = given
        block = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        block.sample_rate = rate
        block.pts = start
        block.time_base = Fraction(1, rate)
        yield block
