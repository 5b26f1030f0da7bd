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
from providers.replicate.webhook import fetch_signing_secret, parse_prediction_id, verify_signature
from tests.support.fake_providers.replicate_server import TOKEN, FakeReplicate
from tests.support.fake_providers.replicate_trainings import WEBHOOK_SECRET

TRAINER = "ostris/flux-dev-lora-trainer:e440909d"
PRO_TRAINER = "black-forest-labs/flux-pro-trainer"
DESTINATION = "acme/diptych-faces"


@pytest.fixture
async def server() -> AsyncIterator[FakeReplicate]:
    server = FakeReplicate()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def trainings(server: FakeReplicate) -> AsyncIterator[ReplicateTrainings]:
    provider = ReplicateTrainings(TOKEN, server.url, timeout=2)
    yield provider
    await provider.close()


@cache
def photos() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for number in range(10):
            packed.writestr(f"{number}.jpg", b"\xff\xd8\xff a photo")
    return file.getvalue()


def request(trigger: str = "anna_x1", model: str = TRAINER, **changes: Any) -> PredictionRequest:
    inputs = {"trigger_word": trigger, "steps": 1000, "destination": DESTINATION, **changes}
    return PredictionRequest("training", model, inputs, 7, {"input_images": photos()})


async def ended(trainings: ReplicateTrainings, prediction_id: str) -> Prediction:
    async with asyncio.timeout(5):
        while True:
            prediction = await trainings.get(prediction_id)
            if prediction.status not in {"queued", "running"}:
                return prediction
            await asyncio.sleep(0.01)


async def test_training_makes_a_model_version_from_a_zip(
    server: FakeReplicate, trainings: ReplicateTrainings
) -> None:
    prediction = await ended(trainings, await trainings.start(request()))
    assert prediction.status == "succeeded"
    (version,) = prediction.outputs
    assert version.startswith(f"{DESTINATION}:")
    created = server.predictions[0]
    assert (created.model, created.version, created.destination) == (
        "ostris/flux-dev-lora-trainer",
        "e440909d",
        DESTINATION,
    )
    assert set(created.input) == {"trigger_word", "steps", "input_images"}
    name, kind, data = server.files[created.input["input_images"].rpartition("/")[2]]
    assert (name, kind, data) == ("input_images.zip", "application/zip", photos())
    with pytest.raises(ProviderError):
        await trainings.fetch(version)


async def test_destination_is_created_once_and_private(
    server: FakeReplicate, trainings: ReplicateTrainings
) -> None:
    await trainings.start(request("a"))
    await trainings.start(request("b"))
    assert server.models[DESTINATION]["visibility"] == "private"
    paths = [
        path for method, path, _ in server.requests if path.startswith("/v1/models") and "versions" not in path
    ]
    assert paths == [f"/v1/models/{DESTINATION}", "/v1/models"]
    other = ReplicateTrainings(TOKEN, server.url)
    await other.start(request("c"))
    await other.close()
    assert [method for method, path, _ in server.requests if path == "/v1/models"] == ["POST"]


async def test_destination_created_by_another_process_meanwhile_is_used(
    server: FakeReplicate, trainings: ReplicateTrainings
) -> None:
    server.models[DESTINATION] = {"visibility": "private"}
    server.fail_next(404, path=f"GET /v1/models/{DESTINATION}")
    await trainings.start(request())
    assert len(server.predictions) == 1


async def test_destination_that_cannot_be_created_raises_and_starts_nothing(
    server: FakeReplicate, trainings: ReplicateTrainings
) -> None:
    server.fail_next(403, path="POST /v1/models", message="You do not own acme")
    with pytest.raises(ProviderError) as caught:
        await trainings.start(request())
    assert caught.value.kind is ErrorKind.FAILED
    for wrong in ("", "/x", "acme/", "acme/x:y"):
        with pytest.raises(ProviderError):
            await trainings.start(request(destination=wrong))
    assert server.predictions == []


async def test_destination_without_an_owner_is_created_in_our_account(
    server: FakeReplicate, trainings: ReplicateTrainings
) -> None:
    await trainings.start(request(destination="ann-1"))
    (destination,) = server.models
    owner, _, name = destination.partition("/")
    assert owner
    assert name == "ann-1"


async def test_training_after_a_lost_response_is_found(
    server: FakeReplicate, trainings: ReplicateTrainings
) -> None:
    before = datetime.now(UTC)
    await trainings.start(request("bob"))
    server.behaviour.drop_next_responses = 1
    with pytest.raises(ProviderError) as caught:
        await trainings.start(request("anna"))
    assert caught.value.kind is ErrorKind.OVERLOADED
    assert await trainings.find(request("anna"), before) == server.predictions[1].id
    assert await trainings.find(request("carl"), before) is None
    same_name = PredictionRequest("training", TRAINER, request("anna").input, 7, {"input_images": b"PK\x03\x04"})
    assert await trainings.find(same_name, before) is None
    assert await trainings.find(request("anna"), before + timedelta(hours=1)) is None


async def test_training_reports_percent_and_can_be_cancelled(
    server: FakeReplicate, trainings: ReplicateTrainings
) -> None:
    server.behaviour.seconds = 100
    prediction_id = await trainings.start(request())
    server.predictions[0].created_at -= timedelta(seconds=40)
    running = await trainings.get(prediction_id)
    assert (running.status, running.percent) == ("running", 40)
    await trainings.cancel(prediction_id)
    assert (await trainings.get(prediction_id)).status == "cancelled"
    server.fail_next(422, path="/cancel", message="already ended")
    await trainings.cancel(prediction_id)
    with pytest.raises(ProviderError) as caught:
        await trainings.cancel("unknown")
    assert caught.value.kind is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(("outcome", "kind"), [("fail", ErrorKind.FAILED), ("aborted", ErrorKind.TIMED_OUT)])
async def test_failed_training_has_its_error_kind(
    server: FakeReplicate, trainings: ReplicateTrainings, outcome: str, kind: ErrorKind
) -> None:
    server.behaviour.outcome = [outcome]  # type: ignore[list-item]
    prediction = await ended(trainings, await trainings.start(request()))
    assert (prediction.status, prediction.error) == ("failed", kind)


@pytest.mark.parametrize(
    ("status", "kind"), [(402, ErrorKind.QUOTA), (422, ErrorKind.BAD_INPUT), (503, ErrorKind.OVERLOADED)]
)
async def test_error_response_is_mapped_and_not_retried(
    server: FakeReplicate, trainings: ReplicateTrainings, status: int, kind: ErrorKind
) -> None:
    server.fail_next(status, path="/trainings", times=0)
    with pytest.raises(ProviderError) as caught:
        await trainings.start(request())
    assert caught.value.kind is kind
    assert server.creation_attempts == 1


async def test_pro_trainer_runs_as_a_prediction(server: FakeReplicate, trainings: ReplicateTrainings) -> None:
    wanted = request(model=PRO_TRAINER)
    prediction_id = await trainings.start(wanted)
    assert await trainings.find(wanted, datetime.now(UTC)) == prediction_id
    prediction = await ended(trainings, prediction_id)
    assert prediction.outputs == (f"finetune-{prediction_id}",)
    assert "destination" not in server.predictions[0].input
    assert server.models == {}
    server.behaviour.seconds = 100
    running = await trainings.start(wanted)
    await trainings.cancel(running)
    assert (await trainings.get(running)).status == "cancelled"


async def test_delete_model_deletes_its_version(server: FakeReplicate, trainings: ReplicateTrainings) -> None:
    await trainings.delete_model(f"{DESTINATION}:abc")
    assert server.deleted_versions == []
    server.models[DESTINATION] = {"visibility": "private"}
    await trainings.delete_model(f"{DESTINATION}:abc")
    assert server.deleted_versions == [f"{DESTINATION}:abc"]


async def test_webhooks_are_requested_and_their_signatures_are_valid(server: FakeReplicate) -> None:
    received: list[str] = []
    secret = await fetch_signing_secret(TOKEN, server.url)
    assert secret == WEBHOOK_SECRET

    async def hook(incoming: web.Request) -> web.Response:
        body = await incoming.read()
        verify_signature(secret, incoming.headers, body)
        received.append(parse_prediction_id(body))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    images = ReplicateProvider(TOKEN, server.url, webhook_url=address)
    models = ReplicateTrainings(TOKEN, server.url, webhook_url=address)
    image = PredictionRequest("image", "acme/painter", {"prompt": "x", "seed": 1}, 1)
    ids = [
        await images.start(image),
        await models.start(request()),
        await models.start(request(model=PRO_TRAINER)),
    ]
    assert [await server.call_webhook(id_) for id_ in ids] == [200, 200, 200]
    assert received == ids
    for provider in (images, models):
        await provider.close()
    await runner.cleanup()
