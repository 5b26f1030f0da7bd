"""ReplicateTrainings and webhooks against a Replicate on this machine."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from aiohttp import web

from providers.protocols import ErrorKind, Prediction, PredictionRequest, ProviderError
from providers.replicate.predictions import ReplicateProvider
from providers.replicate.trainings import ReplicateTrainings
from providers.replicate.webhook import fetch_secret, prediction_id_in, verify
from tests.support.fake_providers.replicate_server import TOKEN, ReplicateStand
from tests.support.fake_providers.replicate_trainings import WEBHOOK_SECRET

TRAINER = "ostris/flux-dev-lora-trainer:e440909d"
PRO_TRAINER = "black-forest-labs/flux-pro-trainer"
HOME = "acme/diptych-faces"


@pytest.fixture
async def stand() -> AsyncIterator[ReplicateStand]:
    stand = ReplicateStand()
    await stand.start()
    yield stand
    await stand.close()


@pytest.fixture
async def trainings(stand: ReplicateStand) -> AsyncIterator[ReplicateTrainings]:
    provider = ReplicateTrainings(TOKEN, stand.url, timeout=2)
    yield provider
    await provider.close()


@cache
def photos() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for number in range(10):
            packed.writestr(f"{number}.jpg", b"\xff\xd8\xff a photo")
    return file.getvalue()


def request(trigger: str = "anna_x1", model: str = TRAINER, **given: Any) -> PredictionRequest:
    told = {"trigger_word": trigger, "steps": 1000, "destination": HOME, **given}
    return PredictionRequest("training", model, told, 7, {"input_images": photos()})


async def ended(trainings: ReplicateTrainings, prediction_id: str) -> Prediction:
    async with asyncio.timeout(5):
        while True:
            prediction = await trainings.get(prediction_id)
            if prediction.status not in {"queued", "running"}:
                return prediction
            await asyncio.sleep(0.01)


async def test_from_a_zip_to_a_version(stand: ReplicateStand, trainings: ReplicateTrainings) -> None:
    prediction = await ended(trainings, await trainings.start(request()))
    assert prediction.status == "succeeded"
    (version,) = prediction.outputs
    assert version.startswith(f"{HOME}:")
    made = stand.predictions[0]
    assert (made.model, made.version, made.destination) == ("ostris/flux-dev-lora-trainer", "e440909d", HOME)
    assert set(made.input) == {"trigger_word", "steps", "input_images"}
    name, kind, data = stand.files[made.input["input_images"].rpartition("/")[2]]
    assert (name, kind, data) == ("input_images.zip", "application/zip", photos())
    with pytest.raises(ProviderError):
        await trainings.fetch(version)


async def test_the_destination_is_made_once_and_privately(
    stand: ReplicateStand, trainings: ReplicateTrainings
) -> None:
    await trainings.start(request("a"))
    await trainings.start(request("b"))
    assert stand.models[HOME]["visibility"] == "private"
    asked = [
        path for method, path, _ in stand.requests if path.startswith("/v1/models") and "versions" not in path
    ]
    assert asked == [f"/v1/models/{HOME}", "/v1/models"]
    other = ReplicateTrainings(TOKEN, stand.url)
    await other.start(request("c"))
    await other.close()
    assert [one[0] for one in stand.requests if one[1] == "/v1/models"] == ["POST"]


async def test_two_processes_may_make_the_destination_at_once(
    stand: ReplicateStand, trainings: ReplicateTrainings
) -> None:
    stand.models[HOME] = {"visibility": "private"}
    stand.fault(404, path=f"GET /v1/models/{HOME}")
    await trainings.start(request())
    assert len(stand.predictions) == 1


async def test_a_destination_that_may_not_be_made(stand: ReplicateStand, trainings: ReplicateTrainings) -> None:
    stand.fault(403, path="POST /v1/models", detail="You do not own acme")
    with pytest.raises(ProviderError) as caught:
        await trainings.start(request())
    assert caught.value.kind is ErrorKind.FAILED
    for wrong in ("", "/x", "acme/", "acme/x:y"):
        with pytest.raises(ProviderError):
            await trainings.start(request(destination=wrong))
    assert stand.predictions == []


async def test_a_destination_without_an_owner_is_our_own_account(
    stand: ReplicateStand, trainings: ReplicateTrainings
) -> None:
    await trainings.start(request(destination="ann-1"))
    (destination,) = stand.models
    owner, _, name = destination.partition("/")
    assert owner
    assert name == "ann-1"


async def test_a_lost_answer_is_found_again(stand: ReplicateStand, trainings: ReplicateTrainings) -> None:
    before = datetime.now(UTC)
    await trainings.start(request("bob"))
    stand.knobs.lose_next_answer = 1
    with pytest.raises(ProviderError) as caught:
        await trainings.start(request("anna"))
    assert caught.value.kind is ErrorKind.OVERLOADED
    assert await trainings.find(request("anna"), before) == stand.predictions[1].id
    assert await trainings.find(request("carl"), before) is None
    same_name = PredictionRequest("training", TRAINER, request("anna").input, 7, {"input_images": b"PK\x03\x04"})
    assert await trainings.find(same_name, before) is None
    assert await trainings.find(request("anna"), before + timedelta(hours=1)) is None


async def test_percent_and_cancel(stand: ReplicateStand, trainings: ReplicateTrainings) -> None:
    stand.knobs.seconds = 100
    prediction_id = await trainings.start(request())
    stand.predictions[0].created_at -= timedelta(seconds=40)
    running = await trainings.get(prediction_id)
    assert (running.status, running.percent) == ("running", 40)
    await trainings.cancel(prediction_id)
    assert (await trainings.get(prediction_id)).status == "cancelled"
    stand.fault(422, path="/cancel", detail="already ended")
    await trainings.cancel(prediction_id)
    with pytest.raises(ProviderError) as caught:
        await trainings.cancel("unknown")
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(("outcome", "kind"), [("fail", ErrorKind.FAILED), ("aborted", ErrorKind.TIMED_OUT)])
async def test_a_training_that_fails(
    stand: ReplicateStand, trainings: ReplicateTrainings, outcome: str, kind: ErrorKind
) -> None:
    stand.knobs.outcome = [outcome]  # type: ignore[list-item]
    prediction = await ended(trainings, await trainings.start(request()))
    assert (prediction.status, prediction.error) == ("failed", kind)


@pytest.mark.parametrize(
    ("status", "kind"), [(402, ErrorKind.QUOTA), (422, ErrorKind.BAD_INPUT), (503, ErrorKind.OVERLOADED)]
)
async def test_a_refusal_is_mapped_and_asked_once(
    stand: ReplicateStand, trainings: ReplicateTrainings, status: int, kind: ErrorKind
) -> None:
    stand.fault(status, path="/trainings", times=0)
    with pytest.raises(ProviderError) as caught:
        await trainings.start(request())
    assert caught.value.kind is kind
    assert stand.asked == 1


async def test_a_trainer_that_runs_as_a_prediction(stand: ReplicateStand, trainings: ReplicateTrainings) -> None:
    asked = request(model=PRO_TRAINER)
    prediction_id = await trainings.start(asked)
    assert await trainings.find(asked, datetime.now(UTC)) == prediction_id
    prediction = await ended(trainings, prediction_id)
    assert prediction.outputs == (f"finetune-{prediction_id}",)
    assert "destination" not in stand.predictions[0].input
    assert stand.models == {}
    stand.knobs.seconds = 100
    running = await trainings.start(asked)
    await trainings.cancel(running)
    assert (await trainings.get(running)).status == "cancelled"


async def test_a_model_is_forgotten(stand: ReplicateStand, trainings: ReplicateTrainings) -> None:
    await trainings.forget(f"{HOME}:abc")
    assert stand.deleted_versions == []
    stand.models[HOME] = {"visibility": "private"}
    await trainings.forget(f"{HOME}:abc")
    assert stand.deleted_versions == [f"{HOME}:abc"]


async def test_webhooks_are_asked_for_and_believed(stand: ReplicateStand) -> None:
    heard: list[str] = []
    secret = await fetch_secret(TOKEN, stand.url)
    assert secret == WEBHOOK_SECRET

    async def hook(question: web.Request) -> web.Response:
        body = await question.read()
        verify(secret, question.headers, body, datetime.now(UTC))
        heard.append(prediction_id_in(body))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    images = ReplicateProvider(TOKEN, stand.url, webhook_url=address)
    models = ReplicateTrainings(TOKEN, stand.url, webhook_url=address)
    asked = PredictionRequest("image", "acme/painter", {"prompt": "x", "seed": 1}, 1)
    ids = [
        await images.start(asked),
        await models.start(request()),
        await models.start(request(model=PRO_TRAINER)),
    ]
    assert [await stand.deliver(one) for one in ids] == [200, 200, 200]
    assert heard == ids
    for provider in (images, models):
        await provider.close()
    await runner.cleanup()
