"""Reading and writing sound: what users send in, Telegram's voice notes out."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
import numpy.typing as npt

from providers.protocols import ErrorKind, ProviderError

AudioSamples = npt.NDArray[np.float32]
"""One channel, from -1 to 1."""


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
