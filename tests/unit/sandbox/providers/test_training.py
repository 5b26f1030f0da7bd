"""Offline trainings: the photos' style is learned, kept, and visible in the model's images."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.protocols import ErrorKind, PredictionRequest, ProviderError
from sandbox.providers.provider import OfflineProvider
from sandbox.providers.renderers import learn_style

Shade = tuple[int, int, int]
RED: Shade = (190, 40, 35)
GREEN: Shade = (40, 150, 60)


def file_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def photos(shade: Shade, count: int = 10, *, kind: str = "JPEG") -> bytes:
    """A zip of noisy photos in shades of one colour, and a caption beside them."""
    file = io.BytesIO()
    rng = np.random.default_rng(1)
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("notes.txt", "not a photo")
        for number in range(count):
            light = rng.uniform(0.4, 1.2, (80, 60, 1))
            photo = io.BytesIO()
            Image.fromarray(np.clip(light * shade, 0, 255).astype(np.uint8)).save(photo, kind)
            packed.writestr(f"{number}.{kind.lower()}", photo.getvalue())
    return file.getvalue()


def training(archive: bytes, **inputs: Any) -> PredictionRequest:
    model_input = {"trigger_word": "anna_x1", "steps": 1000, "name": "Anna", "gender": "female", **inputs}
    return PredictionRequest("training", "ostris/flux-dev-lora-trainer:e440", model_input, 3, {"images": archive})


async def train(folder: Path, archive: bytes, **inputs: Any) -> str:
    provider = OfflineProvider(folder, seconds=0)
    prediction = await provider.get(await provider.start(training(archive, **inputs)))
    return prediction.outputs[0]


async def image_pixels(
    folder: Path, model: str, prompt: str, **inputs: Any
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    provider = OfflineProvider(folder, seconds=0)
    request = PredictionRequest("image", model, {"prompt": prompt, **inputs}, 1)
    prediction = await provider.get(await provider.start(request))
    return np.asarray(Image.open(io.BytesIO(await provider.fetch(prediction.outputs[0]))), np.float32)


async def test_training_in_progress_reports_its_percent_after_a_restart(tmp_path: Path) -> None:
    provider = OfflineProvider(tmp_path, seconds=1000)
    request = training(photos(RED))
    prediction_id = await provider.start(request)
    assert (await provider.get(prediction_id)).status == "queued"
    later = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 600, UTC)
    after_a_kill = OfflineProvider(tmp_path, seconds=1000, clock=lambda: later)
    running = await after_a_kill.get(prediction_id)
    assert running.status == "running"
    assert running.percent == pytest.approx(53, abs=2)
    assert await after_a_kill.find(request, datetime(2020, 1, 1, tzinfo=UTC)) == prediction_id


async def test_images_of_a_model_have_the_colours_of_its_photos(tmp_path: Path) -> None:
    red, green = await train(tmp_path, photos(RED)), await train(tmp_path, photos(GREEN))
    assert red.startswith("offline/anna_x1:")
    lake, city = (
        await image_pixels(tmp_path, red, "anna_x1 at a lake"),
        await image_pixels(tmp_path, red, "anna_x1, city"),
    )
    assert np.abs(lake - city).mean() > 8, "each prompt has its own image"
    for image in (lake, city):
        means = image.mean(axis=(0, 1))
        assert means[0] > means[1] + 25
        assert means[0] > means[2] + 25
    means = (await image_pixels(tmp_path, green, "anna_x1 at a lake")).mean(axis=(0, 1))
    assert means[1] > means[0] + 15
    by_id = await image_pixels(
        tmp_path, "black-forest-labs/flux-pro-finetuned", "anna_x1 at a lake", finetune_id=green
    )
    assert np.array_equal(by_id.mean(axis=(0, 1)), means)


async def test_model_works_until_it_is_deleted(tmp_path: Path) -> None:
    model = await train(tmp_path, photos(RED, kind="PNG"), steps=300)
    provider = OfflineProvider(tmp_path)
    request = PredictionRequest("image", model, {"prompt": "x"}, 1)
    await provider.start(request)
    await provider.delete_model(model)
    await provider.delete_model(model)
    with pytest.raises(ProviderError) as caught:
        await provider.start(request)
    assert caught.value.kind is ErrorKind.NOT_FOUND


def broken_photos() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for number in range(12):
            packed.writestr(f"{number}.jpg", b"\xff\xd8\xff but no photo")
    return file.getvalue()


@pytest.mark.parametrize(
    ("archive", "inputs"),
    [
        (photos(RED, 9), {}),
        (broken_photos(), {}),
        (b"no zip", {}),
        (photos(RED)[:-100], {}),
        (photos(RED), {"trigger_word": "  "}),
        (photos(RED), {"steps": 0}),
        (photos(RED), {"steps": "many"}),
    ],
)
async def test_training_with_invalid_inputs_raises_and_stores_nothing(
    tmp_path: Path, archive: bytes, inputs: dict[str, Any]
) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineProvider(tmp_path).start(training(archive, **inputs))
    assert caught.value.kind is ErrorKind.BAD_INPUT
    assert file_names(tmp_path) == []


async def test_training_with_a_fault_trigger_in_its_name_fails(tmp_path: Path) -> None:
    provider = OfflineProvider(tmp_path, seconds=0)
    ended = await provider.get(await provider.start(training(photos(RED), name="Anna #fail")))
    assert (ended.status, ended.error) == ("failed", ErrorKind.FAILED)


@pytest.mark.parametrize("model", ["offline/x:", "offline/x:../../etc", "offline/x:00ff", "offline/nothing"])
async def test_start_with_an_unknown_model_raises_not_found(tmp_path: Path, model: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await OfflineProvider(tmp_path).start(PredictionRequest("image", model, {"prompt": "x"}, 1))
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_learn_style_depends_only_on_the_photos() -> None:
    assert learn_style(photos(RED)) == learn_style(photos(RED))
    red, green = (np.mean(learn_style(photos(shade)).palette, axis=0) for shade in (RED, GREEN))
    assert np.abs(red - np.array(RED) * 0.8).max() < 25
    assert np.abs(green - np.array(GREEN) * 0.8).max() < 25
