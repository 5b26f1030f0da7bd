"""Writing MP4 that plays in a browser and in Telegram: H.264, yuv420p, index first, sound as AAC."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

from sandbox.providers.audio.codec import AudioSamples, split_into_frames

FPS = 15
"""Few, so that a sandbox on two cores makes five seconds of 720p in about one of its own."""
AUDIO_RATE = 44_100
_BT709 = 1
_LIMITED_RANGE = 1

Planes = tuple[Image.Image, Image.Image, Image.Image]
"""An image as H.264 keeps it: brightness, and two colour differences at half the size.

Scaling and mixing these costs half of what it costs in red, green and blue.
"""


def to_planes(image: Image.Image) -> Planes:
    """An RGB image, whose width and height are multiples of 4, as planes."""
    frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
    both = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709).to_ndarray()
    width, height = image.size
    halves = both[height:].reshape(2, height // 2, width // 2)
    return Image.fromarray(both[:height]), Image.fromarray(halves[0]), Image.fromarray(halves[1])


def encode_mp4(frames: Iterable[Planes], width: int, height: int, sound: AudioSamples | None = None) -> bytes:
    """An MP4 of frames of this size (multiples of 4), FPS per second, with or without sound."""
    # The index can only be moved to the front of a real file.
    with tempfile.TemporaryDirectory(prefix="video-") as folder:
        path = Path(folder) / "video.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            video = container.add_stream("libx264", rate=FPS)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            video.options = {"preset": "ultrafast", "crf": "26", "threads": "2"}
            context = video.codec_context
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED_RANGE
            voice = container.add_stream("aac", rate=AUDIO_RATE, layout="mono") if sound is not None else None
            for frame in frames:
                container.mux(video.encode(_to_video_frame(frame, width)))
            container.mux(video.encode(None))
            if voice is not None and sound is not None:
                for block in split_into_frames(sound, 1024, AUDIO_RATE):
                    container.mux(voice.encode(block))
                container.mux(voice.encode(None))
        return path.read_bytes()


def _to_video_frame(frame: Planes, width: int) -> av.VideoFrame:
    together = np.concatenate([np.asarray(plane).reshape(-1, width) for plane in frame])
    return av.VideoFrame.from_ndarray(together, format="yuv420p")
