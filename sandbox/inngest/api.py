"""The HTTP routes for the SDK, for clients of the REST API and for a browser.

Responses and error texts are those of ``pkg/api``, ``pkg/api/apiv1``, ``pkg/coreapi`` and ``pkg/devserver`` of
inngest/inngest, including their peculiarities: an error of the REST API has HTTP status 200 and its own status in
the body.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler
from loguru import logger
from pydantic import ValidationError

from sandbox.inngest.connect import worker_api_routes
from sandbox.inngest.engine import Engine
from sandbox.inngest.functions import Registration
from sandbox.inngest.runs import ULID_LENGTH, EventError, new_id, read_events
from sandbox.inngest.status_page import render_page

_GUARDED_PATHS: Final = ("/dev", "/fn/", "/v0/", "/v1/")
_MAX_BODY_BYTES: Final = 256 * 1024 * 1024


def build_app(engine: Engine) -> web.Application:
    """Return the application that serves the API of an engine."""
    routes = _Routes(engine)
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[routes.guard])
    app.add_routes(
        [
            web.get("/", routes.page),
            web.get("/health", routes.health),
            web.get("/dev", routes.info),
            web.post("/e/{key}", routes.events),
            web.post("/fn/register", routes.register),
            web.get("/v0/runs/{id}/{part:batch|actions}", routes.run_data),
            web.get("/v1/events/{id}/runs", routes.event_runs),
            web.get("/v1/runs/{id}", routes.run),
            *worker_api_routes(engine.gateway),
        ]
    )
    return app


class _Routes:
    """The request handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kind = "dev" if engine.keys is None else "cloud"

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Name the kind of server in every response; a production server's API needs the key."""
        keys, bearer = self._engine.keys, request.headers.get("authorization", "")
        response: web.StreamResponse
        if keys is not None and request.path.startswith(_GUARDED_PATHS) and not keys.is_authorized(bearer):
            response = web.Response(text="Authentication failed\n", status=401)
        else:
            response = await handler(request)
        response.headers["x-inngest-server-kind"] = self._kind
        return response

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=render_page(self._engine), content_type="text/html")

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": 200, "message": "OK"})

    async def info(self, _: web.Request) -> web.Response:
        """The registered functions; only a dev server lists them."""
        if self._engine.keys is not None:
            return web.Response(text="404 page not found\n", status=404)
        functions = [{"name": each.name, "slug": each.id} for each in self._engine.functions.values()]
        return web.json_response({"version": "stand-in", "functions": functions})

    async def events(self, request: web.Request) -> web.Response:
        keys = self._engine.keys
        if keys is not None and request.match_info["key"] not in keys.event_keys:
            return web.json_response({"status": 401, "message": "", "error": "Event key not found"}, status=401)
        try:
            events = read_events(await request.read(), request.headers.get("x-inngest-event-id-seed"))
        except EventError as error:
            return _text_response({"ids": [""], "status": 400, "error": str(error)}, 400)
        for event in events:
            self._engine.handle_event(event)
        return _text_response({"ids": [event.internal_id for event in events], "status": 200}, 200)

    async def register(self, request: web.Request) -> web.Response:
        expected = request.headers.get("x-inngest-expected-server-kind") or self._kind
        if expected != self._kind:
            return web.json_response({"error": f"Expected server kind {self._kind}, got {expected}"}, status=400)
        try:
            registration = Registration.model_validate_json(await request.read())
        except ValidationError as error:
            logger.error("Inngest stand-in: an app's functions are invalid: {}", error)
            refused = {"error": "At least one function is invalid", "data": None, "status": 400}
            return web.json_response(refused, status=400)
        modified = self._engine.register(registration)
        return web.json_response({"ok": True, "modified": modified, "sync_id": new_id()})

    async def run_data(self, request: web.Request) -> web.Response:
        """The events or the step results of a run, for the SDK when a request is too large."""
        run_id = request.match_info["id"]
        if (run := self._engine.runs.get(run_id)) is None:
            message = f"runtime state is no longer available for runID: {run_id}"
            return web.json_response({"error": message, "data": None, "status": 410}, status=410)
        return web.json_response([run.event.payload()] if request.match_info["part"] == "batch" else run.steps)

    async def event_runs(self, request: web.Request) -> web.Response:
        event_id = request.match_info["id"]
        if len(event_id) != ULID_LENGTH:
            return _api_error(f"Invalid event ID: {event_id}", 400)
        return _data_response([run.to_json() for run in self._engine.event_runs.get(event_id, [])])

    async def run(self, request: web.Request) -> web.Response:
        run_id = request.match_info["id"]
        if len(run_id) != ULID_LENGTH:
            return _api_error(f"Invalid run ID: {run_id}", 400)
        if (run := self._engine.runs.get(run_id)) is None:
            return _api_error(f"Unable to load function run: {run_id}", 500)
        return _data_response(run.to_json())


def _data_response(data: object) -> web.Response:
    return web.json_response({"data": data, "metadata": {"fetched_at": datetime.now(UTC).isoformat()}})


def _text_response(body: dict[str, Any], status: int) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="text/plain")


def _api_error(message: str, status: int) -> web.Response:
    return web.json_response({"error": message, "data": None, "status": status})
