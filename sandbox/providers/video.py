"""Offline videos: a camera that moves over an image, or from one image into another."""

import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from sandbox.providers.audio import AudioSamples, to_frame
from sandbox.providers.images.files import add_watermark
from sandbox.providers.images.landscape import paint

FPS = 15
"""Few, so that a sandbox on two cores makes five seconds of 720p in about one of its own."""
AUDIO_RATE = 44_100
_MAX_SECONDS = 10.0
_MARGIN = 1.22
"""How much larger than the frame the image is, for the camera to move in."""


def render_video(
    prompt: str, seed: int, size: tuple[int, int], seconds: float, images: Iterable[Image.Image] = ()
) -> bytes:
    """An MP4 that follows from its arguments alone.

    Args:
        prompt: What the video shows where there are no images.
        seed: Chooses how the camera moves.
        size: Width and height in pixels, multiples of 4.
        seconds: Its length; 10 at most.
        images: One, or a first and a last one.
    """
    large = (round(size[0] * _MARGIN), round(size[1] * _MARGIN))
    shown = [ImageOps.fit(image, large) for image in images] or [paint(prompt, seed, *large)]
    count = max(1, round(min(seconds, _MAX_SECONDS) * FPS))
    return encode_mp4(_move_camera(shown, np.random.default_rng(seed & 0xFFFFFFFF), size, count), size)


def _move_camera(
    images: list[Image.Image], rng: np.random.Generator, size: tuple[int, int], count: int
) -> Iterator[Image.Image]:
    """A slow, eased pan and zoom, while the first image fades into the last one."""
    turn, is_inward = rng.uniform(0, 2 * math.pi), rng.random() < 0.6
    room = np.array([math.cos(turn), math.sin(turn)]) * 0.45
    for part in np.linspace(0, 1, count):
        eased = float(part * part * (3 - 2 * part))
        view = np.array(size) * (1.12 - 0.16 * (eased if is_inward else 1 - eased))
        start = (np.array(images[0].size) - view) * (0.5 + room * (2 * eased - 1))
        image = Image.blend(images[0], images[-1], eased) if len(images) > 1 else images[0]
        yield add_watermark(image.resize(size, Image.Resampling.BILINEAR, (*start, *(start + view))))


def encode_mp4(frames: Iterable[Image.Image], size: tuple[int, int], sound: AudioSamples | None = None) -> bytes:
    """An MP4 that plays in a browser and in Telegram: H.264, yuv420p, index first, sound as AAC.

    Args:
        frames: RGB images, FPS per second.
        size: Their width and height in pixels, multiples of 4.
        sound: AUDIO_RATE samples per second, or None.
    """
    with tempfile.TemporaryDirectory(prefix="video-") as folder:  # the index can only be moved in a real file
        path = Path(folder) / "video.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            video = container.add_stream("libx264", rate=FPS)
            (video.width, video.height), video.pix_fmt = size, "yuv420p"
            video.options = {"preset": "ultrafast", "crf": "26", "threads": "2"}
            voice = container.add_stream("aac", rate=AUDIO_RATE, layout="mono") if sound is not None else None
            for frame in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
            container.mux(video.encode(None))
            if voice is not None and sound is not None:
                container.mux([*voice.encode(to_frame(sound, AUDIO_RATE)), *voice.encode(None)])
        return path.read_bytes()
