"""OfflineProvider's videos and lip-syncs: what they take, and that their files outlive the process."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from providers.offline.provider import OfflineProvider
from providers.offline.video.encoding import FPS
from providers.protocols import ErrorKind, PredictionKind, PredictionRequest, ProviderError
from tests.support.test_data.audio import beep, duration_and_loudness


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def png(shade: tuple[int, int, int], size: tuple[int, int] = (320, 240)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, shade).save(file, "PNG")
    return file.getvalue()


RED, BLUE = png((200, 30, 30)), png((30, 30, 200))


async def made(
    folder: Path, kind: PredictionKind, given: dict[str, Any], files: dict[str, bytes] | None = None
) -> bytes:
    """What a process that started after the order fetches."""
    request = PredictionRequest(kind, "someone/model", given, 5, files or {})
    prediction_id = await OfflineProvider(folder, seconds=0).start(request)
    later = OfflineProvider(folder, seconds=0)
    prediction = await later.get(prediction_id)
    assert (prediction.status, len(prediction.outputs)) == ("succeeded", 1)
    return await later.fetch(prediction.outputs[0])


def frames(film: bytes) -> list[Any]:
    with av.open(io.BytesIO(film), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


async def test_a_video_of_a_prompt(tmp_path: Path) -> None:
    given = {"prompt": "a stormy sea", "duration": 1, "aspect_ratio": "9:16"}
    seen = frames(await made(tmp_path, "video", given))
    assert len(seen) == FPS
    assert seen[0].shape == (1280, 720, 3)
    assert seen[0].std() > 8


@pytest.mark.parametrize(("start", "end"), [("start_image", "end_image"), ("first_frame_image", "last_image")])
async def test_a_morphing_keeps_both_photos_and_their_shape(tmp_path: Path, start: str, end: str) -> None:
    seen = frames(await made(tmp_path, "video", {"prompt": "", "seconds": "0.6"}, {start: RED, end: BLUE}))
    assert seen[0].shape == (720, 960, 3)
    assert seen[0].mean(axis=(0, 1))[0] > 180
    assert seen[-1].mean(axis=(0, 1))[2] > 180


@pytest.mark.parametrize("face", ["face", "source_image"])
async def test_a_lip_sync_is_as_long_as_its_sound(tmp_path: Path, face: str) -> None:
    film = await made(tmp_path, "lip_sync", {}, {face: RED, "audio": beep(1.5)})
    assert len(frames(film)) == pytest.approx(1.5 * FPS, abs=2)
    seconds, loud = duration_and_loudness(film)
    assert seconds == pytest.approx(1.5, abs=0.15)
    assert loud > 0.1


async def test_a_video_can_be_lip_synced(tmp_path: Path) -> None:
    film = await made(tmp_path, "video", {"prompt": "a portrait", "seconds": 0.5}, {"image": RED})
    talking = await made(tmp_path, "lip_sync", {}, {"video": film, "audio": beep(1.0)})
    assert len(frames(talking)) == pytest.approx(FPS, abs=2)


@pytest.mark.parametrize(
    ("kind", "given", "files"),
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
async def test_what_a_model_would_refuse(
    tmp_path: Path, kind: PredictionKind, given: dict[str, Any], files: dict[str, bytes]
) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineProvider(tmp_path).start(PredictionRequest(kind, "m", given, 1, files))
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert names(tmp_path) == [], "nothing was written down"


async def test_every_fetch_gives_the_same_video(tmp_path: Path) -> None:
    given = {"prompt": "a lake", "seconds": 0.2}
    one, again = await made(tmp_path, "video", given), await made(tmp_path, "video", given)
    assert np.array_equal(frames(one)[0], frames(again)[0])
