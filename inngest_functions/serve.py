"""The aiohttp adapter that the Inngest Python SDK lacks.

It mirrors the SDK's `inngest/fast_api.py`: one `CommHandler` behind one path; the status, headers and body of every
response are those of the `CommResponse`. `CommHandler` is internal to the SDK, so the SDK is pinned exactly and
tests/contract checks what is used of it.
"""

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from inngest import Function, Inngest
from inngest._internal import comm_lib, config_lib, const, server_lib, transforms

FRAMEWORK: Final = server_lib.Framework.FAST_API
"""The name that this adapter reports.

The SDK's enum has no member for aiohttp. The server uses the name only as a label, and this adapter behaves like
FastAPI's (async, streaming).
"""

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""The largest request body, in bytes; larger ones get 413.

The server has the SDK fetch a run's data from its API when a request would exceed 4 MiB
(`consts.MaxSDKRequestBodySize` of inngest/inngest), but the first event, up to 3 MiB, is always included. This leaves
room for future servers. FastAPI has no limit; aiohttp's default is 1 MiB.
"""

_Handle = Callable[[comm_lib.CommRequest], Awaitable[comm_lib.CommResponse]]


def serve(
    app: web.Application,
    client: Inngest,
    functions: list[Function[Any]],
    *,
    enable_unauthed_sync: bool | None = None,
    public_path: str | None = None,
    serve_origin: str | None = None,
    serve_path: str | None = None,
    streaming: const.Streaming | None = None,
) -> None:
    """Serve Inngest functions in an aiohttp app: adds GET, POST and PUT on the serve path.

    Args:
        app: Application not yet started; nothing in it is changed but its routes.
        client: Inngest client.
        functions: Functions to serve.
        enable_unauthed_sync: Whether unsigned sync PUT requests are allowed in cloud mode. Defaults to the
            INNGEST_ENABLE_UNAUTHED_SYNC env var, or True when unset.
        public_path: Path that the Inngest server sends requests to, when a proxy rewrites it.
        serve_origin: Origin that the Inngest server reaches this app by, when it is not the request's own.
        serve_path: Path to serve at. Defaults to INNGEST_SERVE_PATH, then to /api/inngest.
        streaming: Whether to send keep-alive bytes until a response is complete.

    Raises:
        SigningKeyMissingError: In cloud mode, when there is no signing key.
    """
    handler = comm_lib.CommHandler(
        client=client,
        enable_unauthed_sync=enable_unauthed_sync,
        framework=FRAMEWORK,
        functions=functions,
        streaming=streaming,
    )

    async def inspect(request: comm_lib.CommRequest) -> comm_lib.CommResponse:
        return handler.get_sync(request)

    def endpoint(handle: _Handle) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            comm_request = comm_lib.CommRequest(
                body=await _read_body(request),
                headers=dict(request.headers.items()),
                public_path=public_path,
                query_params=dict(request.query.items()),
                raw_request=request,
                request_url=str(request.url),
                serve_origin=serve_origin,
                serve_path=serve_path,
            )
            return await _to_response(client, request, await handle(comm_request))

        return answer

    path = config_lib.get_serve_path(serve_path) or const.DEFAULT_SERVE_PATH
    # add_route and not add_get: the latter would answer HEAD too, which the SDK's adapters refuse with 405.
    app.router.add_route("GET", path, endpoint(inspect))
    app.router.add_route("POST", path, endpoint(handler.post))
    app.router.add_route("PUT", path, endpoint(handler.put))


async def _read_body(request: web.Request) -> bytes:
    """The whole body, up to MAX_BODY_BYTES whatever the app's client_max_size."""
    length = request.content_length
    within = length is not None and length <= request.client_max_size
    if within or request.content.at_eof():  # at its end: empty, or read by a middleware and kept in the request
        return await request.read()
    # A clone shares the payload but not the limit, so the rest of the app keeps its own.
    return await request.clone(client_max_size=MAX_BODY_BYTES).read()


async def _to_response(
    client: Inngest,
    request: web.Request,
    comm_response: comm_lib.CommResponse,
) -> web.StreamResponse:
    if comm_response.stream is not None:
        return await _stream(request, comm_response)

    body = transforms.dump_json(comm_response.body)
    if isinstance(body, Exception):
        comm_response = comm_lib.CommResponse.from_error(client.logger, body)
        body = json.dumps(comm_response.body)

    return web.Response(
        body=body.encode(),
        headers=comm_response.headers,
        status=comm_response.status_code,
    )


async def _stream(request: web.Request, comm_response: comm_lib.CommResponse) -> web.StreamResponse:
    """Send keep-alive bytes as they come.

    When the server disconnects, the write raises ConnectionError and aiohttp drops the request. The SDK shields the
    function's own task, which runs to its end, as with the SDK's adapters.
    """
    assert comm_response.stream is not None  # noqa: S101  # for the type checker only
    response = web.StreamResponse(headers=comm_response.headers, status=comm_response.status_code)
    await response.prepare(request)
    async with contextlib.aclosing(comm_response.stream()) as chunks:
        async for chunk in chunks:
            await response.write(chunk)
    await response.write_eof()
    return response
