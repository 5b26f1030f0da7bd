"""Offline videos, decoded again."""

import io
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.video.camera import VIDEO_SIZES, render_video
from sandbox.providers.video.encoding import FPS


def png(shade: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 400), shade).save(file, "PNG")
    return file.getvalue()


def decode(video: bytes) -> list[npt.NDArray[Any]]:
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_render_video_of_a_prompt_plays_and_moves() -> None:
    video = render_video("a lake", 3, seconds=0.5)
    assert video.index(b"moov") < video.index(b"mdat")
    frames = decode(video)
    assert len(frames) == round(FPS / 2)
    assert frames[0].shape == (720, 1280, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 2


@pytest.mark.parametrize("aspect", list(VIDEO_SIZES))
def test_render_video_has_the_requested_aspect(aspect: str) -> None:
    width_ratio, height_ratio = (int(part) for part in aspect.split(":"))
    frame = decode(render_video("x", 1, aspect=aspect, seconds=0.05, start=png((10, 200, 30))))[0]
    assert abs(frame.shape[1] / frame.shape[0] / (width_ratio / height_ratio) - 1) < 0.01


def test_render_video_fades_from_the_start_image_to_the_end_image() -> None:
    frames = decode(render_video("x", 1, seconds=0.6, start=png((220, 30, 30)), end=png((30, 30, 220))))
    first, last = frames[0].mean(axis=(0, 1)), frames[-1].mean(axis=(0, 1))
    assert np.abs(first - (220, 30, 30)).max() < 12
    assert np.abs(last - (30, 30, 220)).max() < 12
    assert frames[len(frames) // 2].std(axis=(0, 1))[0] > 20, "no sudden cut: both are seen in the middle"


def test_render_video_with_a_start_that_is_not_an_image_raises() -> None:
    with pytest.raises(ProviderError) as caught:
        render_video("x", 1, start=b"not an image")
    assert caught.value.kind is ErrorKind.BAD_INPUT
