"""The same functions behind our aiohttp adapter and the SDK's FastAPI adapter, each on a real HTTP server."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from unittest import mock

import aiohttp
import fastapi
import inngest
import inngest.fast_api
import uvicorn
from aiohttp import web
from inngest._internal import net, server_lib, transforms

from inngest_functions.serve import serve

PATH = "/api/inngest"
EVENT_KEY = "event-key-of-the-pair"
SIGNING_KEY = "signkey-test-" + "ab" * 32
FALLBACK_KEY = "signkey-test-" + "cd" * 32
FOREIGN_KEY = "signkey-test-" + "ef" * 32

_HTTP_HEADERS = {"date", "server", "connection", "transfer-encoding", "keep-alive"}
"""Headers of the web server and the connection, not of an adapter."""

Functions = list[inngest.Function[Any]]
Headers = Mapping[str, str]


def create_functions(client: inngest.Inngest) -> Functions:
    """Return one function for each way in which answers can differ."""

    @client.create_function(fn_id="one-step", trigger=inngest.TriggerEvent(event="x"), retries=2)
    async def one_step(ctx: inngest.Context) -> str:
        return await ctx.step.run("length", _length, str(ctx.event.data.get("text", "")))

    @client.create_function(fn_id="plain", trigger=inngest.TriggerCron(cron="0 * * * *"))
    async def plain(ctx: inngest.Context) -> dict[str, object]:
        return {"attempt": ctx.attempt, "events": len(ctx.events), "text": "ключ 🔑"}

    @client.create_function(
        fn_id="fails", trigger=inngest.TriggerEvent(event="x"), on_failure=_on_failure, name="A name"
    )
    async def fails(ctx: inngest.Context) -> None:
        kind = ctx.event.data.get("kind")
        if kind == "retry-after":
            raise inngest.RetryAfterError("later", datetime(2100, 1, 1, tzinfo=UTC))
        if kind == "never":
            raise inngest.NonRetriableError("never")
        raise ValueError("plain")

    @client.create_function(fn_id="unreadable", trigger=inngest.TriggerEvent(event="x"))
    async def unreadable(ctx: inngest.Context) -> object:
        return object()

    @client.create_function(fn_id="thread", trigger=inngest.TriggerEvent(event="x"))
    def thread(ctx: inngest.ContextSync) -> str:
        return "from a thread"

    return [one_step, plain, fails, unreadable, thread]


async def _length(text: str) -> str:
    return str(len(text))


async def _on_failure(ctx: inngest.Context) -> None:
    return None


@dataclass(frozen=True)
class AdapterResponse:
    """An answer without what belongs to the web server or depends on the time."""

    status: int
    headers: dict[str, str]
    body: str
    signature: str | None


@dataclass(slots=True)
class AdapterPair:
    """Our server and the SDK's, and what they register at the Inngest API."""

    ours: str
    theirs: str
    session: aiohttp.ClientSession
    registered: list[dict[str, Any]] = field(default_factory=list)
    """The requests to POST /fn/register."""

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Headers = MappingProxyType({})
    ) -> tuple[AdapterResponse, AdapterResponse]:
        """Send both the same request."""
        ours = await self._ask(self.ours, method, path, body, headers)
        return ours, await self._ask(self.theirs, method, path, body, headers)

    async def assert_same(
        self, method: str, path: str, body: bytes = b"", headers: Headers = MappingProxyType({})
    ) -> AdapterResponse:
        """Send both the same request, assert that their answers are equal, and return ours."""
        ours, theirs = await self.ask(method, path, body, headers)
        assert ours.status == theirs.status
        assert ours.headers == theirs.headers
        assert ours.body.lstrip(" ") == theirs.body.lstrip(" ")  # a stream's keep-alive bytes: none, or more
        assert (ours.signature is None) == (theirs.signature is None)
        return ours

    async def _ask(self, origin: str, method: str, path: str, body: bytes, headers: Headers) -> AdapterResponse:
        request = self.session.request(method, f"{origin}{path}", data=body or None, headers=headers)
        async with request as response:
            raw = (await response.read()).decode()
            found = {name.lower(): value for name, value in response.headers.items()}
        signature = found.pop("x-inngest-signature", None)
        if signature is not None:
            key = _key_of(raw, signature)
            found["signed-with"] = key
        kept = {name: _without_timestamps(value) for name, value in found.items() if name not in _HTTP_HEADERS}
        return AdapterResponse(
            response.status, kept, _without_timestamps(raw.replace(origin, "<origin>")), signature
        )


def _key_of(body: str, signature: str) -> str:
    """Return which of our keys signed the bytes of an answer.

    A streamed answer matches none: the SDK signs its headers before there is a body.
    """
    for key in (SIGNING_KEY, FALLBACK_KEY):
        valid = net.validate_response_sig(
            body=body.encode(),
            headers={"x-inngest-signature": signature},
            mode=server_lib.ServerKind.CLOUD,
            signing_key=key,
        )
        if not isinstance(valid, Exception):
            return key
    return "none of ours"


def _without_timestamps(text: str) -> str:
    return re.sub(r"dur=\d+", "dur=…", text)


def call(function: str, *, use_api: bool = False, **data: object) -> tuple[str, bytes]:
    """Return the path and body of a function's first call."""
    event = {"name": "x", "data": data, "id": "1", "ts": 1}
    ctx = {
        "attempt": 0,
        "disable_immediate_execution": False,
        "max_attempts": 4,
        "run_id": "01",
        "stack": {"stack": [], "current": 0},
    }
    body = {"ctx": ctx, "event": event, "events": [event], "steps": {}, "use_api": use_api}
    return f"{PATH}?fnId=pair-{function}&stepId=step", json.dumps(body).encode()


def signed(body: bytes, key: str = SIGNING_KEY, at: int | None = None) -> dict[str, str]:
    """Return the signature header of a request, as the server makes it."""
    signature = net.sign_request(body, key, at)
    assert isinstance(signature, str)
    return {"x-inngest-signature": signature}


@asynccontextmanager
async def run_pair(
    *, production: bool, fallback_key: str | None = None, signing_key: str = SIGNING_KEY, **options: Any
) -> AsyncIterator[AdapterPair]:
    """Run both adapters, each with its own client. The SDK reads a fallback key only from the environment."""
    registered: list[dict[str, Any]] = []
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(_api(registered))

        def client() -> inngest.Inngest:
            rotation = {"INNGEST_SIGNING_KEY_FALLBACK": fallback_key} if fallback_key else {}
            with mock.patch.dict(os.environ, rotation):
                return inngest.Inngest(
                    app_id="pair",
                    is_production=production,
                    signing_key=signing_key if production else None,
                    event_key=EVENT_KEY,
                    api_base_url=api,
                    event_api_base_url=api,
                )

        ours_client, theirs_client = client(), client()
        app = web.Application()
        serve(app, ours_client, create_functions(ours_client), **options)
        ours = await stack.enter_async_context(_aiohttp(app))
        other = fastapi.FastAPI()
        inngest.fast_api.serve(other, theirs_client, create_functions(theirs_client), **options)
        theirs = await stack.enter_async_context(_uvicorn(other))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield AdapterPair(ours, theirs, session, registered)


@asynccontextmanager
async def _api(registered: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Run an Inngest API that, if it is sent a key, accepts only SIGNING_KEY and FALLBACK_KEY."""
    known = {f"Bearer {transforms.hash_signing_key(key)}" for key in (SIGNING_KEY, FALLBACK_KEY)}

    async def register(request: web.Request) -> web.Response:
        sent = {name.lower(): value for name, value in request.headers.items()}
        if sent.get("authorization", next(iter(known))) not in known:
            return web.json_response({"error": "wrong key"}, status=401)
        del sent["host"]
        registered.append({"query": dict(request.query), "headers": sent, "body": await request.json()})
        return web.json_response({"ok": True, "modified": True})

    app = web.Application()
    app.router.add_post("/fn/register", register)
    async with _aiohttp(app) as url:
        yield url


@asynccontextmanager
async def _aiohttp(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they belong to pytest


@asynccontextmanager
async def _uvicorn(app: fastapi.FastAPI) -> AsyncIterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http="httptools", log_config=None, lifespan="off")
    server = _Uvicorn(config)
    serving = asyncio.get_running_loop().create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110  # uvicorn sets no event
                await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
