"""Offline videos, decoded again."""

import io
import itertools
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from sandbox.providers.images.files import VIDEO_SIZES
from sandbox.providers.video import FPS, render_video

GREEN, RED, BLUE = (Image.new("RGB", (300, 400), shade) for shade in ((10, 200, 30), (220, 30, 30), (30, 30, 220)))


def decode(video: bytes) -> list[npt.NDArray[Any]]:
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_render_video_of_a_prompt_plays_and_moves() -> None:
    video = render_video("a lake", 3, VIDEO_SIZES["16:9"], 0.5)
    assert video.index(b"moov") < video.index(b"mdat")
    frames = decode(video)
    assert len(frames) == round(FPS / 2)
    assert frames[0].shape == (720, 1280, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 2


@pytest.mark.parametrize(("seconds", "frames"), [(0.01, 1), (2, 2 * FPS), (60, 10 * FPS)])
def test_render_video_has_the_requested_length_up_to_ten_seconds(seconds: float, frames: int) -> None:
    assert len(decode(render_video("", 1, (64, 64), seconds, [GREEN]))) == frames


@pytest.mark.parametrize("aspect", list(VIDEO_SIZES))
def test_render_video_has_the_requested_aspect(aspect: str) -> None:
    width_ratio, height_ratio = (int(part) for part in aspect.split(":"))
    frame = decode(render_video("x", 1, VIDEO_SIZES[aspect], 0.05, [GREEN]))[0]
    assert abs(frame.shape[1] / frame.shape[0] / (width_ratio / height_ratio) - 1) < 0.01


def test_render_video_fades_from_the_first_image_to_the_last() -> None:
    frames = [frame.mean(axis=(0, 1)) for frame in decode(render_video("x", 1, (320, 180), 1, [RED, BLUE]))]
    assert np.abs(frames[0] - (220, 30, 30)).max() < 12
    assert np.abs(frames[-1] - (30, 30, 220)).max() < 12
    assert np.abs(frames[len(frames) // 2] - (125, 30, 125)).max() < 15, "both are seen in the middle"
    steps = [np.abs(later - frame).max() for frame, later in itertools.pairwise(frames)]
    assert max(steps) < 40, "no sudden cut"
