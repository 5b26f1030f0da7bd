"""What media files contain, decoded: images, videos, sounds."""

import io
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.float32]
RATE = 16_000


def decode_image(data: bytes) -> Pixels:
    """A PNG's pixels, all of them decoded. Raises where it is none."""
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        image.load()
        return np.asarray(image.convert("RGB"), np.float32)


def aspect_ratio(pixels: Pixels) -> float:
    return float(pixels.shape[1] / pixels.shape[0])


def has_contrast(pixels: Pixels) -> bool:
    """Whether there is something to see: not one colour all over."""
    return float(pixels.std(axis=(0, 1)).mean()) > 12


@dataclass(frozen=True)
class Video:
    frames: list[Pixels]
    seconds: float
    audio: npt.NDArray[np.float32]
    """One channel of 16,000 samples a second; empty where the video is silent."""

    @property
    def max_frame_difference(self) -> float:
        """How much neighbouring frames differ, of 255, where they differ most."""
        pairs = zip(self.frames, self.frames[1:], strict=False)
        return max(float(np.abs(after - before).mean()) for before, after in pairs)


def decode_video(data: bytes) -> Video:
    """An MP4 (H.264, as browsers play it), each frame decoded."""
    assert data[4:8] == b"ftyp"
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = [
            frame.reformat(160, 90, "rgb24").to_ndarray().astype(np.float32) for frame in container.decode(video=0)
        ]
        assert stream.duration is not None
        assert stream.time_base is not None
        seconds = float(stream.duration * stream.time_base)
        has_sound = bool(container.streams.audio)
    return Video(frames, seconds, _samples(data) if has_sound else np.zeros(0, np.float32))


@dataclass(frozen=True)
class Audio:
    samples: npt.NDArray[np.float32]
    comments: dict[str, str]

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE

    @property
    def loudness(self) -> float:
        """Root mean square, of 1."""
        return float(np.sqrt((self.samples**2).mean()))

    def timbre_distance(self, other: "Audio") -> float:
        """How far the timbres are apart: 0 for the same voice with the same text, 2 at most."""
        one, two = self.spectrum(), other.spectrum()
        return float(np.abs(one - two).sum())

    def spectrum(self) -> npt.NDArray[Any]:
        """How the energy is spread over 64 bands up to 4 kHz, over all of the sound."""
        size = 1024
        count = len(self.samples) // size
        parts = self.samples[: count * size].reshape(count, size) * np.hanning(size)
        power = (np.abs(np.fft.rfft(parts)) ** 2).mean(axis=0)[:256].reshape(64, 4).sum(axis=1)
        return np.asarray(power / power.sum())


def decode_voice_note(data: bytes) -> Audio:
    """OGG/Opus with one channel, as Telegram's voice notes are."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.audio[0]
        assert (container.format.name, stream.codec_context.name) == ("ogg", "opus")
        assert stream.codec_context.layout.nb_channels == 1
        comments = {**container.metadata, **stream.metadata}
    return Audio(_samples(data), comments)


def _samples(data: bytes) -> npt.NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(io.BytesIO(data), "r") as container:
        parts = [
            piece.to_ndarray().reshape(-1)
            for frame in [*container.decode(audio=0), None]
            for piece in resampler.resample(frame)
        ]
    return np.concatenate(parts).astype(np.float32)


def hue_distance(pixels: Pixels, photos: list[Pixels]) -> float:
    """How far an image's hues are from the photos', on average: brightness is left out."""
    own = _chroma(pixels[::8, ::8].reshape(-1, 3))
    theirs = np.concatenate([_chroma(photo[::8, ::8].reshape(-1, 3)) for photo in photos])
    middle = theirs.mean(axis=0)
    return float(np.linalg.norm(own - middle, axis=1).mean())


def _chroma(colours: Pixels) -> Pixels:
    """Blue and red against brightness, as in YCbCr."""
    light = colours @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.stack([colours[:, 2] - light, colours[:, 0] - light], axis=1)
