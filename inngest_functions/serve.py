"""The aiohttp adapter that the Inngest Python SDK lacks.

It mirrors the SDK's `inngest/fast_api.py`: one `CommHandler` behind one path, with the status, headers and body of its
`CommResponse` in every response. `CommHandler` is internal to the SDK, so the SDK is pinned to an exact version and
tests/contract checks the internals used here.
"""

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from inngest import Function, Inngest
from inngest._internal import comm_lib, config_lib, const, server_lib, transforms

FRAMEWORK: Final = server_lib.Framework.FAST_API
"""The framework that this adapter reports.

The SDK's enum has no member for aiohttp. The server uses it only as a label, and this adapter behaves like the one for
FastAPI (async, streaming).
"""

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""Maximum size of a request body, in bytes. Larger ones get 413.

If a request would exceed 4 MiB (`consts.MaxSDKRequestBodySize` of inngest/inngest), the server makes the SDK fetch the
run's data from its API, but always includes the first event of up to 3 MiB. This limit leaves room for future servers.
FastAPI has no limit; aiohttp's default is 1 MiB.
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
    """Serve Inngest functions in an aiohttp app by adding GET, POST and PUT routes on the serve path.

    Args:
        app: An application that has not started. Only its routes are changed.
        client: The Inngest client.
        functions: The functions to serve.
        enable_unauthed_sync: Whether unsigned sync PUT requests are allowed in cloud mode. Defaults to the
            INNGEST_ENABLE_UNAUTHED_SYNC environment variable, or True if that is unset.
        public_path: The path that the Inngest server sends requests to, if a proxy rewrites it.
        serve_origin: The origin at which the Inngest server reaches this app, if it differs from that of the request.
        serve_path: The path to serve at. Defaults to INNGEST_SERVE_PATH, then to /api/inngest.
        streaming: Whether to send keep-alive bytes until a response is complete.

    Raises:
        SigningKeyMissingError: There is no signing key in cloud mode.
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
    # Not add_get, which would also answer HEAD: the SDK's adapters refuse it with 405.
    app.router.add_route("GET", path, endpoint(inspect))
    app.router.add_route("POST", path, endpoint(handler.post))
    app.router.add_route("PUT", path, endpoint(handler.put))


async def _read_body(request: web.Request) -> bytes:
    """Read the whole body, up to MAX_BODY_BYTES, regardless of the app's client_max_size."""
    length = request.content_length
    within = length is not None and length <= request.client_max_size
    if within or request.content.at_eof():  # at_eof: the body is empty, or a middleware has read it
        return await request.read()
    # The clone shares the payload but has its own limit, so that of the app does not change.
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
    """Send the chunks as they come: keep-alive bytes, then the response.

    If the server disconnects, the write raises ConnectionError and aiohttp drops the request. The SDK shields the task
    of the function, so that it runs to its end, as with the SDK's own adapters.
    """
    assert comm_response.stream is not None  # noqa: S101  # for the type checker
    response = web.StreamResponse(headers=comm_response.headers, status=comm_response.status_code)
    await response.prepare(request)
    async with contextlib.aclosing(comm_response.stream()) as chunks:
        async for chunk in chunks:
            await response.write(chunk)
    await response.write_eof()
    return response
