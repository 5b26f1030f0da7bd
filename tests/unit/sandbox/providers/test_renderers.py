"""OfflineProvider's videos and lip-syncs: which inputs they accept, and that their files outlive the process."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from providers.protocols import ErrorKind, PredictionKind, PredictionRequest, ProviderError
from sandbox.providers.provider import OfflineProvider
from sandbox.providers.video import FPS
from tests.support.test_data.audio import beep, duration_and_loudness


def file_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def png(shade: tuple[int, int, int], size: tuple[int, int] = (320, 240)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, shade).save(file, "PNG")
    return file.getvalue()


RED, BLUE = png((200, 30, 30)), png((30, 30, 200))


async def render(
    folder: Path, kind: PredictionKind, inputs: dict[str, Any], files: dict[str, bytes] | None = None
) -> bytes:
    """The output, fetched by a process that started after the request."""
    request = PredictionRequest(kind, "someone/model", inputs, 5, files or {})
    prediction_id = await OfflineProvider(folder, seconds=0).start(request)
    later = OfflineProvider(folder, seconds=0)
    prediction = await later.get(prediction_id)
    assert (prediction.status, len(prediction.outputs)) == ("succeeded", 1)
    return await later.fetch(prediction.outputs[0])


def frames(video: bytes) -> list[Any]:
    with av.open(io.BytesIO(video), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


async def test_video_of_a_prompt_has_its_length_and_size(tmp_path: Path) -> None:
    inputs = {"prompt": "a stormy sea", "duration": 1, "aspect_ratio": "9:16"}
    video_frames = frames(await render(tmp_path, "video", inputs))
    assert len(video_frames) == FPS
    assert video_frames[0].shape == (1280, 720, 3)
    assert video_frames[0].std() > 8


@pytest.mark.parametrize(("start", "end"), [("start_image", "end_image"), ("first_frame_image", "last_image")])
async def test_video_between_two_photos_shows_both_in_their_shape(tmp_path: Path, start: str, end: str) -> None:
    video_frames = frames(
        await render(tmp_path, "video", {"prompt": "", "seconds": "0.6"}, {start: RED, end: BLUE})
    )
    height, width, _ = video_frames[0].shape
    assert width / height == pytest.approx(320 / 240, abs=0.01)
    assert video_frames[0].mean(axis=(0, 1))[0] > 180
    assert video_frames[-1].mean(axis=(0, 1))[2] > 180


@pytest.mark.parametrize("face", ["face", "source_image"])
async def test_lip_sync_is_as_long_as_its_sound(tmp_path: Path, face: str) -> None:
    video = await render(tmp_path, "lip_sync", {}, {face: RED, "audio": beep(1.5)})
    assert len(frames(video)) == pytest.approx(1.5 * FPS, abs=2)
    seconds, loud = duration_and_loudness(video)
    assert seconds == pytest.approx(1.5, abs=0.15)
    assert loud > 0.1


async def test_lip_sync_of_a_video_is_as_long_as_its_sound(tmp_path: Path) -> None:
    video = await render(tmp_path, "video", {"prompt": "a portrait", "seconds": 0.5}, {"image": RED})
    talking = await render(tmp_path, "lip_sync", {}, {"video": video, "audio": beep(1.0)})
    assert len(frames(talking)) == pytest.approx(FPS, abs=2)


@pytest.mark.parametrize(
    ("kind", "inputs", "files"),
    [
        ("video", {"prompt": " "}, {}),
        ("video", {"prompt": "x", "aspect_ratio": "7:3"}, {}),
        ("video", {"prompt": "x", "duration": "long"}, {}),
        ("video", {"prompt": "x", "duration": 0}, {}),
        ("video", {"prompt": "x", "duration": "nan"}, {}),
        ("video", {"prompt": "x"}, {"image": b"text renamed .jpg"}),
        ("video", {"prompt": "x"}, {"end_image": RED}),
        ("lip_sync", {}, {"face": RED}),
        ("lip_sync", {}, {"face": RED, "audio": RED}),
        ("lip_sync", {}, {"face": beep(0.3), "audio": beep(0.3)}),
        ("lip_sync", {}, {"face": RED, "video": RED, "audio": beep(0.3)}),
    ],
)
async def test_start_with_invalid_inputs_raises_and_stores_nothing(
    tmp_path: Path, kind: PredictionKind, inputs: dict[str, Any], files: dict[str, bytes]
) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineProvider(tmp_path).start(PredictionRequest(kind, "m", inputs, 1, files))
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert file_names(tmp_path) == [], "nothing was stored"


async def test_video_of_the_same_request_is_the_same(tmp_path: Path) -> None:
    inputs = {"prompt": "a lake", "seconds": 0.2}
    one, again = await render(tmp_path, "video", inputs), await render(tmp_path, "video", inputs)
    assert np.array_equal(frames(one)[0], frames(again)[0])
