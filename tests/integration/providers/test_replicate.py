"""ReplicateProvider against a Replicate on this machine."""

import asyncio
import base64
import io
import json
import sys
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from PIL import Image

from providers.protocols import ErrorKind, Prediction, PredictionRequest, ProviderError
from providers.replicate.predictions import ReplicateProvider
from tests.support.fake_providers.replicate_server import TOKEN, FakePrediction, FakeReplicate, closed_port
from tests.support.processes.orphans import kill_with_parent

MODEL = "black-forest-labs/flux-schnell"


@pytest.fixture
async def server() -> AsyncIterator[FakeReplicate]:
    server = FakeReplicate()
    await server.start()
    yield server
    await server.close()


@pytest.fixture
async def replicate(server: FakeReplicate) -> AsyncIterator[ReplicateProvider]:
    provider = ReplicateProvider(TOKEN, server.url, timeout=2)
    yield provider
    await provider.close()


def request(seed: int = 7, model: str = MODEL, files: dict[str, bytes] | None = None) -> PredictionRequest:
    inputs = {"prompt": "a lake", "seed": seed, "num_outputs": 2}
    return PredictionRequest("image", model, inputs, seed, files or {})


async def ended(replicate: ReplicateProvider, prediction_id: str) -> Prediction:
    async with asyncio.timeout(5):
        while True:
            prediction = await replicate.get(prediction_id)
            if prediction.status not in {"queued", "running"}:
                return prediction
            await asyncio.sleep(0.01)


async def start_error(replicate: ReplicateProvider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await replicate.start(request())
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    frames = list(traceback.walk_tb(caught.value.__traceback__))
    assert all(TOKEN not in repr(frame.f_locals) for frame, _ in frames[1:])
    return caught.value


async def test_prediction_of_an_image_from_start_to_bytes(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    prediction = await ended(replicate, await replicate.start(request()))
    assert prediction.status == "succeeded"
    assert len(prediction.outputs) == 2
    image = Image.open(io.BytesIO(await replicate.fetch(prediction.outputs[0])))
    assert image.size == (64, 64)
    assert server.creation_attempts == 1
    assert server.requests[0][:2] == ("POST", f"/v1/models/{MODEL}/predictions")


async def test_model_with_a_version_is_started_and_found_by_its_version(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    wanted = request(model="acme/model:abc123")
    prediction_id = await replicate.start(wanted)
    assert server.requests[0][:2] == ("POST", "/v1/predictions")
    assert server.predictions[0].version == "abc123"
    assert await replicate.find(wanted, datetime.now(UTC)) == prediction_id
    assert await replicate.find(request(model="acme/model:other"), datetime.now(UTC)) is None


async def test_prediction_is_queued_then_running_with_percent(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    server.behaviour.seconds = 100
    prediction_id = await replicate.start(request())
    assert (await replicate.get(prediction_id)).status == "queued"
    server.predictions[0].created_at -= timedelta(seconds=40)
    running = await replicate.get(prediction_id)
    assert (running.status, running.percent) == ("running", 40)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("fail", ErrorKind.FAILED), ("nsfw", ErrorKind.MODERATION), ("aborted", ErrorKind.TIMED_OUT)],
)
async def test_failed_prediction_has_its_error_kind(
    server: FakeReplicate, replicate: ReplicateProvider, outcome: str, kind: ErrorKind
) -> None:
    server.behaviour.outcome = [outcome]  # type: ignore[list-item]
    prediction = await ended(replicate, await replicate.start(request()))
    assert (prediction.status, prediction.error) == ("failed", kind)
    assert prediction.error_detail


@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (400, "bad", ErrorKind.BAD_INPUT),
        (401, "bad token", ErrorKind.FAILED),
        (402, "You have insufficient credit", ErrorKind.QUOTA),
        (403, "no", ErrorKind.FAILED),
        (404, "no such model", ErrorKind.NOT_FOUND),
        (422, "- input.prompt is required", ErrorKind.BAD_INPUT),
        (422, "The specified version does not exist", ErrorKind.NOT_FOUND),
        (500, "oops", ErrorKind.OVERLOADED),
        (503, "oops", ErrorKind.OVERLOADED),
        (504, "oops", ErrorKind.OVERLOADED),
    ],
)
async def test_error_response_is_mapped_and_not_retried(
    server: FakeReplicate, replicate: ReplicateProvider, status: int, detail: str, kind: ErrorKind
) -> None:
    server.fail_next(status, message=detail, times=0)
    assert (await start_error(replicate)).kind is kind
    assert server.creation_attempts == 1


@pytest.mark.parametrize("method", ["start", "get", "find", "check"])
async def test_rate_limit_is_raised_at_once_with_its_retry_time(
    server: FakeReplicate, replicate: ReplicateProvider, method: str
) -> None:
    server.fail_next(429, retry_after=33, times=0)
    calls = {
        "start": lambda: replicate.start(request()),
        "get": lambda: replicate.get("x"),
        "find": lambda: replicate.find(request(), datetime.now(UTC)),
        "check": replicate.check,
    }
    with pytest.raises(ProviderError) as caught:
        await calls[method]()
    assert (caught.value.kind, caught.value.retry_after) == (ErrorKind.RATE_LIMITED, 33)
    assert len(server.requests) == 1


async def test_rate_limit_with_its_retry_time_only_in_the_text_is_parsed(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    server.fail_next(429, message="Request was throttled. Your rate limit resets in ~30s.")
    assert (await start_error(replicate)).retry_after == 30


async def test_prediction_after_a_lost_response_is_found(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    before = datetime.now(UTC)
    await replicate.start(request(seed=1))
    server.behaviour.drop_next_responses = 1
    assert (await start_error(replicate)).kind is ErrorKind.OVERLOADED
    await replicate.start(request(seed=2))
    assert server.creation_attempts == 3
    assert await replicate.find(request(seed=7), before) == server.predictions[1].id
    assert await replicate.find(request(seed=8), before) is None


async def test_server_without_answer_times_out_and_its_prediction_is_found(server: FakeReplicate) -> None:
    server.behaviour.hang_before_response = True
    provider = ReplicateProvider(TOKEN, server.url, timeout=0.2)
    assert (await start_error(provider)).kind is ErrorKind.TIMED_OUT
    assert await provider.find(request(), datetime.now(UTC)) == server.predictions[0].id
    await provider.close()


async def test_closed_port_means_overloaded() -> None:
    provider = ReplicateProvider(TOKEN, f"http://127.0.0.1:{closed_port()}", timeout=2)
    assert (await start_error(provider)).kind is ErrorKind.OVERLOADED
    await provider.close()


async def test_find_reads_pages_from_its_own_host_back_to_the_given_time(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    now = datetime.now(UTC)
    inputs = {"prompt": "a lake", "num_outputs": 1}
    for number in range(250):
        age = timedelta(seconds=250 - number)
        server.predictions.append(
            FakePrediction(str(number), MODEL, "hidden", inputs | {"seed": number}, "succeed", now - age, 0)
        )
    assert await replicate.find(request(seed=40), now - timedelta(seconds=220)) == "40"
    assert [path for _, path, _ in server.requests] == [
        "/v1/predictions",
        "/v1/predictions?cursor=100",
        "/v1/predictions?cursor=200",
    ]
    server.requests.clear()
    assert await replicate.find(request(seed=-1), now) is None
    assert len(server.requests) == 2


async def test_find_reads_past_an_aborted_prediction(server: FakeReplicate, replicate: ReplicateProvider) -> None:
    server.behaviour.outcome = ["succeed", "aborted"]
    server.behaviour.seconds = 0
    prediction_id = await replicate.start(request(seed=1))
    await replicate.start(request(seed=2))
    assert await replicate.find(request(seed=1), datetime.now(UTC)) == prediction_id


async def test_find_without_a_seed_compares_the_whole_input(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    first = PredictionRequest("image", MODEL, {"prompt": "a", "style": "x"}, 1)
    prediction_id = await replicate.start(first)
    assert await replicate.find(first, datetime.now(UTC)) == prediction_id
    other = PredictionRequest("image", MODEL, {"prompt": "a", "style": "y"}, 1)
    assert await replicate.find(other, datetime.now(UTC)) is None


async def test_small_files_are_sent_inline_and_large_ones_uploaded(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    small = b"\x89PNG\r\n\x1a\n" + b"s" * 100
    large = b"\xff\xd8\xff" + b"l" * 300_000
    await replicate.start(request(files={"image": small, "last_frame": large}))
    inputs = server.predictions[0].input
    head, _, body = inputs["image"].partition(",")
    assert (head, base64.b64decode(body)) == ("data:image/png;base64", small)
    name, kind, data = server.files[inputs["last_frame"].rpartition("/")[2]]
    assert (name, kind, data) == ("last_frame.jpeg", "image/jpeg", large)
    assert server.creation_attempts == 1


async def test_find_without_a_seed_compares_the_files(server: FakeReplicate, replicate: ReplicateProvider) -> None:
    """A lip-sync has no prompt: another user's must never be mistaken for it."""

    def lip_sync(face: bytes, sound: bytes) -> PredictionRequest:
        return PredictionRequest("lip_sync", "acme/lips", {}, 1, {"face": face, "audio": sound})

    photo, other_photo = b"\xff\xd8\xff" + b"a" * 300_000, b"\xff\xd8\xff" + b"b" * 300_000
    requests = [lip_sync(photo, b"OggS1"), lip_sync(other_photo, b"OggS1"), lip_sync(photo, b"OggS2")]
    ids = [await replicate.start(each) for each in requests]
    assert [await replicate.find(each, datetime.now(UTC)) for each in requests] == ids
    assert await replicate.find(lip_sync(other_photo, b"OggS2"), datetime.now(UTC)) is None
    server.files.clear()
    assert await replicate.find(requests[0], datetime.now(UTC)) is None


async def test_cancel_ends_a_prediction_and_ignores_an_ended_one(
    server: FakeReplicate, replicate: ReplicateProvider
) -> None:
    server.behaviour.seconds = 100
    prediction_id = await replicate.start(request())
    await replicate.cancel(prediction_id)
    assert (await replicate.get(prediction_id)).status == "cancelled"
    server.fail_next(422, path="/cancel", message="already ended")
    await replicate.cancel(prediction_id)
    with pytest.raises(ProviderError) as caught:
        await replicate.cancel("unknown")
    assert caught.value.kind is ErrorKind.NOT_FOUND


async def test_check_with_a_wrong_token_fails(server: FakeReplicate, replicate: ReplicateProvider) -> None:
    await replicate.check()
    assert server.requests == [("GET", "/v1/account", True)]
    unauthorized = ReplicateProvider("r8_wrong", server.url)
    with pytest.raises(ProviderError) as caught:
        await unauthorized.check()
    assert caught.value.kind is ErrorKind.FAILED
    assert "key refused" in caught.value.detail
    await unauthorized.close()


async def test_token_is_sent_only_to_the_api(server: FakeReplicate, replicate: ReplicateProvider) -> None:
    tokens: list[str | None] = []

    async def other_host(incoming: web.Request) -> web.Response:
        tokens.append(incoming.headers.get("Authorization"))
        return web.Response(body=b"image")

    app = web.Application()
    app.router.add_get("/image.png", other_host)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/image.png"
    assert await replicate.fetch(address) == b"image"
    await runner.cleanup()
    assert tokens == [None]
    prediction = await ended(replicate, await replicate.start(request()))
    await replicate.fetch(prediction.outputs[0])
    assert server.requests[-1][2]


async def test_fake_server_runs_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.fake_providers.replicate_server",
        "--port",
        "0",
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=kill_with_parent,
    )
    assert process.stdout is not None
    announced = json.loads(await process.stdout.readline())
    try:
        async with aiohttp.ClientSession() as session:
            await session.post(f"{announced['url']}/control", json={"seconds": 0, "outcome": ["nsfw", "succeed"]})
            provider = ReplicateProvider(announced["token"], announced["url"])
            first, second = await provider.start(request(1)), await provider.start(request(2))
            assert (await provider.get(first)).error is ErrorKind.MODERATION
            assert (await provider.get(second)).status == "succeeded"
            await provider.close()
            async with session.get(f"{announced['url']}/control") as answer:
                state = await answer.json()
            assert (state["creation_attempts"], [each["id"] for each in state["predictions"]]) == (
                2,
                [first, second],
            )
    finally:
        process.kill()
        await process.wait()
