"""OfflineProvider: a prediction outlives its process, takes time, and fails when its prompt has a fault trigger."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from providers.protocols import ErrorKind, PredictionRequest, ProviderError
from sandbox.providers.base import Folder, StoredPrediction
from sandbox.providers.provider import OfflineProvider


class SimulatedClock:
    """A clock that only moves when advanced."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


def provider(folder: Path, clock: SimulatedClock) -> OfflineProvider:
    return OfflineProvider(folder, seconds=10, clock=clock)


def file_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def request(prompt: str = "a lake", seed: int = 7, **inputs: Any) -> PredictionRequest:
    model = "black-forest-labs/flux-schnell"
    return PredictionRequest("image", model, {"prompt": prompt, "seed": seed, **inputs}, seed)


async def test_get_returns_a_state_that_follows_from_the_time(tmp_path: Path, clock: SimulatedClock) -> None:
    offline = provider(tmp_path, clock)
    prediction_id = await offline.start(request())
    assert (await offline.get(prediction_id)).status == "queued"
    clock.advance(5.75)
    running = await offline.get(prediction_id)
    assert (running.status, running.percent) == ("running", 50)
    clock.advance(5)
    ended = await offline.get(prediction_id)
    assert (ended.status, len(ended.outputs)) == ("succeeded", 1)


async def test_get_and_fetch_in_a_new_process_return_the_same(tmp_path: Path, clock: SimulatedClock) -> None:
    before = provider(tmp_path, clock)
    prediction_id = await before.start(request(num_outputs=2))
    clock.advance(11)
    after = provider(tmp_path, clock)
    ended = await after.get(prediction_id)
    assert len(ended.outputs) == 2
    first = await before.fetch(ended.outputs[0])
    assert await after.fetch(ended.outputs[0]) == first
    assert await after.fetch(ended.outputs[1]) != first
    assert Image.open(io.BytesIO(first)).size == (1024, 1024)


async def test_find_matches_only_the_same_request(tmp_path: Path, clock: SimulatedClock) -> None:
    offline = provider(tmp_path, clock)
    assert await offline.find(request(), clock.now) is None
    since = clock.now
    prediction_id = await offline.start(request())
    await offline.start(request(seed=8))
    await offline.start(request(prompt="a sea"))
    again = provider(tmp_path, clock)
    assert await again.find(request(), since) == prediction_id
    assert await again.find(request(seed=9), since) is None
    assert await again.find(request(), since + timedelta(minutes=1)) is None


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [("#fail", ErrorKind.FAILED), ("#nsfw", ErrorKind.MODERATION), ("#timeout", ErrorKind.TIMED_OUT)],
)
async def test_get_after_a_fault_trigger_is_failed(
    tmp_path: Path, clock: SimulatedClock, trigger: str, kind: ErrorKind
) -> None:
    offline = provider(tmp_path, clock)
    prediction_id = await offline.start(request(f"a lake {trigger}"))
    assert (await offline.get(prediction_id)).status == "queued"
    clock.advance(11)
    ended = await offline.get(prediction_id)
    assert (ended.status, ended.error) == ("failed", kind)


@pytest.mark.parametrize(
    ("prompt", "kind", "wait"),
    [
        ("a #busy lake", ErrorKind.OVERLOADED, None),
        ("#limit", ErrorKind.RATE_LIMITED, 2.0),
        ("#quota", ErrorKind.QUOTA, None),
        ("#input", ErrorKind.BAD_INPUT, None),
        ("   ", ErrorKind.BAD_INPUT, None),
    ],
)
async def test_start_with_a_fault_trigger_raises_and_stores_nothing(
    tmp_path: Path, clock: SimulatedClock, prompt: str, kind: ErrorKind, wait: float | None
) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider(tmp_path, clock).start(request(prompt))
    assert (caught.value.kind, caught.value.retry_after) == (kind, wait)
    assert file_names(tmp_path) == []


@pytest.mark.parametrize("inputs", [{"num_outputs": 0}, {"num_outputs": 5}, {"aspect_ratio": "7:3"}])
async def test_start_with_invalid_inputs_raises(
    tmp_path: Path, clock: SimulatedClock, inputs: dict[str, Any]
) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider(tmp_path, clock).start(request(**inputs))
    assert caught.value.kind is ErrorKind.BAD_INPUT


async def test_get_of_slow_and_never_triggers_is_late_or_never_ends(tmp_path: Path, clock: SimulatedClock) -> None:
    offline = provider(tmp_path, clock)
    slow, never = await offline.start(request("#slow")), await offline.start(request("#never"))
    clock.advance(100)
    assert (await offline.get(slow)).status == "running"
    clock.advance(101)
    assert (await offline.get(slow)).status == "succeeded"
    clock.advance(1e6)
    assert (await offline.get(never)).status == "queued"


async def test_cancel_of_an_ended_prediction_does_not_change_it(tmp_path: Path, clock: SimulatedClock) -> None:
    offline = provider(tmp_path, clock)
    ended = await offline.start(request(seed=1))
    clock.advance(11)
    running = await offline.start(request(seed=2))
    for prediction_id in (ended, running):
        await offline.cancel(prediction_id)
    again = provider(tmp_path, clock)
    assert (await again.get(ended)).status == "succeeded"
    assert (await again.get(running)).status == "cancelled"


@pytest.mark.parametrize("unknown", ["x", "../../etc/passwd", "", "a/b"])
async def test_calls_with_an_unknown_prediction_raise_not_found(
    tmp_path: Path, clock: SimulatedClock, unknown: str
) -> None:
    offline = provider(tmp_path, clock)
    for call in (offline.get, offline.cancel, offline.fetch):
        with pytest.raises(ProviderError) as caught:
            await call(unknown)
        assert caught.value.kind is ErrorKind.NOT_FOUND
    prediction_id = await offline.start(request())
    with pytest.raises(ProviderError):
        await offline.fetch(f"offline:{prediction_id}/1")


async def test_start_keeps_the_files_of_a_request(tmp_path: Path, clock: SimulatedClock) -> None:
    files = {"image": b"one", "mask": b"two"}
    request_with_files = PredictionRequest("image", "m", {"prompt": "a lake"}, 1, files)
    prediction_id = await provider(tmp_path, clock).start(request_with_files)
    assert Folder(tmp_path).load(StoredPrediction, prediction_id).files == ("image", "mask")
    assert [(tmp_path / f"{prediction_id}.{number}").read_bytes() for number in (0, 1)] == [b"one", b"two"]


async def test_get_of_a_damaged_file_raises_failed(tmp_path: Path, clock: SimulatedClock) -> None:
    offline = provider(tmp_path, clock)
    prediction_id = await offline.start(request())
    (tmp_path / f"{prediction_id}.json").write_text("{")
    with pytest.raises(ProviderError) as caught:
        await offline.get(prediction_id)
    assert caught.value.kind is ErrorKind.FAILED
