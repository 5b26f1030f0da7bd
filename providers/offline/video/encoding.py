"""Writing MP4 that plays in a browser and in Telegram: H.264, yuv420p, index first, sound as AAC."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace
from PIL import Image

FPS = 15
"""Few, so that a sandbox on two cores makes five seconds of 720p in about one of its own."""
AUDIO_RATE = 44_100
BT709 = 1
LIMITED_RANGE = 1

Planes = tuple[Image.Image, Image.Image, Image.Image]
"""A picture as H.264 keeps it: brightness, and two colour differences at half the size.

Scaling and mixing these costs half of what it costs in red, green and blue.
"""
AudioSamples = npt.NDArray[np.float32]
"""One channel, -1 to 1, SOUND_RATE samples a second."""


def to_planes(image: Image.Image) -> Planes:
    """An RGB picture, whose width and height are multiples of 4, as planes."""
    frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
    both = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709).to_ndarray()
    width, height = image.size
    halves = both[height:].reshape(2, height // 2, width // 2)
    return Image.fromarray(both[:height]), Image.fromarray(halves[0]), Image.fromarray(halves[1])


def encode_mp4(frames: Iterable[Planes], width: int, height: int, sound: AudioSamples | None = None) -> bytes:
    """An MP4 of frames of this size (multiples of 4), FPS a second, with or without sound."""
    with _scratch_file() as path:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            picture = container.add_stream("libx264", rate=FPS)
            picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
            picture.options = {"preset": "ultrafast", "crf": "26", "threads": "2"}
            context = picture.codec_context
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = LIMITED_RANGE
            voice = container.add_stream("aac", rate=AUDIO_RATE, layout="mono") if sound is not None else None
            for frame in frames:
                container.mux(picture.encode(_to_video_frame(frame, width)))
            container.mux(picture.encode(None))
            if voice is not None and sound is not None:
                for block in split_into_frames(sound, 1024, AUDIO_RATE):
                    container.mux(voice.encode(block))
                container.mux(voice.encode(None))
        return path.read_bytes()


@contextmanager
def _scratch_file() -> Iterator[Path]:
    """A file that can be opened several times, as moving the index to the front needs.

    Where the system can, it has no name in any folder: nothing is left of it when the process is killed.
    """
    if sys.platform == "linux":
        file = os.memfd_create("video")
        try:
            yield Path(f"/proc/self/fd/{file}")
        finally:
            os.close(file)
    else:
        with tempfile.TemporaryDirectory(prefix="video-") as folder:
            yield Path(folder) / "video.mp4"


def _to_video_frame(frame: Planes, width: int) -> av.VideoFrame:
    together = np.concatenate([np.asarray(plane).reshape(-1, width) for plane in frame])
    return av.VideoFrame.from_ndarray(together, format="yuv420p")


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
