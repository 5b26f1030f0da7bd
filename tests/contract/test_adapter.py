"""The aiohttp adapter by itself: its answers to every kind of request."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import inngest
import pytest
from aiohttp import web
from inngest._internal import const, errors, net, server_lib

from inngest_functions.serve import FRAMEWORK, MAX_BODY_BYTES, serve

SIGNING_KEY = "signkey-test-" + "ab" * 32
PATH = "/api/inngest"


def create_functions(client: inngest.Inngest) -> list[inngest.Function[Any]]:
    @client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="x"))
    async def echo(ctx: inngest.Context) -> int:
        return len(str(ctx.event.data.get("text", "")))

    @client.create_function(fn_id="slow", trigger=inngest.TriggerEvent(event="x"))
    async def slow(ctx: inngest.Context) -> str:
        await asyncio.sleep(0.05)
        return "done"

    @client.create_function(fn_id="fail", trigger=inngest.TriggerEvent(event="x"))
    async def fail(ctx: inngest.Context) -> None:
        if ctx.event.data.get("later"):
            raise inngest.RetryAfterError("later", timedelta(minutes=5))
        raise inngest.NonRetriableError("never")

    @client.create_function(fn_id="bad", trigger=inngest.TriggerEvent(event="x"))
    async def bad(ctx: inngest.Context) -> object:
        return object()

    @client.create_function(fn_id="sync", trigger=inngest.TriggerEvent(event="x"))
    def sync(ctx: inngest.ContextSync) -> str:
        return ctx.step.run("one", lambda: "from a thread")

    return [echo, slow, fail, bad, sync]


def create_client(*, production: bool = False) -> inngest.Inngest:
    return inngest.Inngest(
        app_id="adapter",
        is_production=production,
        signing_key=SIGNING_KEY if production else None,
        event_key="key",
        api_base_url="http://127.0.0.1:1",
        event_api_base_url="http://127.0.0.1:1",
    )


@asynccontextmanager
async def run_app(client: inngest.Inngest, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    serve(app, client, create_functions(client), **options)

    async def other(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    app.router.add_post("/other", other)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session
    finally:
        await runner.cleanup()


def call(function: str, **data: Any) -> tuple[str, bytes]:
    event = {"name": "x", "data": data, "id": "1", "ts": 1}
    ctx = {
        "attempt": 0,
        "disable_immediate_execution": False,
        "max_attempts": 4,
        "run_id": "01",
        "stack": {"stack": [], "current": 0},
    }
    body = {"ctx": ctx, "event": event, "events": [event], "steps": {}, "use_api": False}
    return f"{PATH}?fnId=adapter-{function}&stepId=step", json.dumps(body).encode()


async def test_get_returns_the_introspection() -> None:
    async with run_app(create_client()) as session, session.get(PATH) as response:
        body = await response.json()
        assert response.status == 200
        assert response.headers["x-inngest-framework"] == FRAMEWORK.value
        assert response.headers["x-inngest-sdk"] == f"inngest-py:v{const.VERSION}"
        assert (body["function_count"], body["mode"]) == (5, "dev")


async def test_unsupported_methods_are_refused() -> None:
    async with run_app(create_client()) as session:
        for method in ("HEAD", "DELETE", "PATCH"):
            async with session.request(method, PATH) as response:
                assert response.status == 405


async def test_result_has_the_headers_of_the_sdk() -> None:
    url, body = call("echo", text="four")
    async with run_app(create_client()) as session, session.post(url, data=body) as response:
        assert (response.status, await response.json()) == (200, 4)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-inngest-req-version"] == server_lib.PREFERRED_EXECUTION_VERSION
        assert response.headers["x-inngest-sdk-handled"] == "true"
        assert "comm_handler;dur=" in response.headers["server-timing"]


async def test_sync_function_runs_in_a_thread() -> None:
    url, body = call("sync")
    async with run_app(create_client()) as session, session.post(url, data=body) as response:
        (step,) = await response.json()
        assert (response.status, step["op"], step["data"]) == (206, "StepRun", "from a thread")


async def test_errors_state_whether_and_when_to_retry() -> None:
    async with run_app(create_client()) as session:
        url, body = call("fail")
        async with session.post(url, data=body) as response:
            assert (response.status, (await response.json())["message"]) == (500, "never")
            assert response.headers["x-inngest-no-retry"] == "true"
        url, body = call("fail", later=True)
        async with session.post(url, data=body) as response:
            assert response.status == 500
            assert response.headers["retry-after"].endswith("Z")
        url, body = call("bad")
        async with session.post(url, data=body) as response:
            answer = await response.json()
            assert (response.status, answer["code"]) == (500, "output_unserializable")


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ("?fnId=adapter-none&stepId=step", None, "function_not_found"),
        ("", None, "query_param_missing"),
        ("?fnId=adapter-echo", b"no json", "unknown"),
    ],
)
async def test_malformed_requests_get_an_error_code(query: str, body: bytes | None, code: str) -> None:
    content = call("echo")[1] if body is None else body
    async with run_app(create_client()) as session, session.post(PATH + query, data=content) as response:
        assert response.status == 500
        assert (await response.json())["code"] == code


async def test_body_over_one_mebibyte_is_accepted_only_at_the_inngest_path() -> None:
    size = 5 * 1024 * 1024
    url, body = call("echo", text="x" * size)
    async with run_app(create_client()) as session:
        async with session.post(url, data=body) as response:
            assert (response.status, await response.json()) == (200, size)
        async with session.post("/other", data=body) as response:
            assert response.status == 413


async def test_body_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inngest_functions.serve.MAX_BODY_BYTES", 2 * 1024 * 1024)
    url, body = call("echo", text="x" * (3 * 1024 * 1024))
    async with run_app(create_client()) as session, session.post(url, data=body) as response:
        assert response.status == 413
    assert MAX_BODY_BYTES >= 16 * 1024 * 1024


async def test_body_already_read_by_a_middleware_is_used() -> None:
    @web.middleware
    async def read_body(request: web.Request, handler: Any) -> web.StreamResponse:
        await request.read()
        response: web.StreamResponse = await handler(request)
        return response

    client = create_client()
    app = web.Application(middlewares=[read_body])
    serve(app, client, create_functions(client))
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url, body = call("echo", text="abc")
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(base) as session, session.post(url, data=body) as response:
            assert await response.json() == 3
    finally:
        await runner.cleanup()


async def test_streaming_sends_keep_alive_bytes_then_the_answer() -> None:
    url, body = call("slow")
    async with (
        run_app(create_client(), streaming=const.Streaming.FORCE) as session,
        session.post(url, data=body) as response,
    ):
        assert response.status == 201
        text = await response.text()
    assert text.startswith(" ")
    streamed = json.loads(text)
    assert (streamed["status"], json.loads(streamed["body"])) == (200, "done")


async def test_closed_stream_leaves_the_app_working() -> None:
    url, body = call("slow")
    async with run_app(create_client(), streaming=const.Streaming.FORCE) as session:
        response = await session.post(url, data=body)
        response.close()
        async with session.get(PATH) as again:
            assert again.status == 200


async def test_production_accepts_only_signed_requests() -> None:
    url, body = call("echo", text="abc")
    async with run_app(create_client(production=True)) as session:
        async with session.post(url, data=body) as response:
            assert (response.status, await response.json()) == (401, {"message": "Unauthorized"})
            assert "x-inngest-sdk" not in response.headers
        signature = net.sign_request(body, SIGNING_KEY)
        assert isinstance(signature, str)
        async with session.post(url, data=body, headers={"X-Inngest-Signature": signature}) as response:
            assert (response.status, await response.json()) == (200, 3)
            assert "x-inngest-signature" in response.headers


async def test_serve_path_comes_from_the_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_app(create_client(), serve_path="/hooks/inngest") as session:
        assert (await session.get("/hooks/inngest")).status == 200
        assert (await session.get(PATH)).status == 404
    monkeypatch.setenv("INNGEST_SERVE_PATH", "/from-env")
    async with run_app(create_client()) as session:
        assert (await session.get("/from-env")).status == 200


def test_production_without_a_signing_key_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INNGEST_SIGNING_KEY", raising=False)
    client = inngest.Inngest(app_id="adapter", is_production=True)
    with pytest.raises(errors.SigningKeyMissingError):
        serve(web.Application(), client, create_functions(client))
