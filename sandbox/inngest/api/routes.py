"""The HTTP routes for the SDK, for clients of the REST API and for a browser.

Responses and error texts are those of ``pkg/api``, ``pkg/api/apiv1``, ``pkg/coreapi`` and ``pkg/devserver`` of
inngest/inngest, including their peculiarities: an error of the REST API has HTTP status 200 and its own status in
the body.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from loguru import logger
from pydantic import ValidationError

from sandbox.inngest.api.status_page import render_page
from sandbox.inngest.connect.endpoints import api_routes
from sandbox.inngest.engine.engine import Engine
from sandbox.inngest.engine.runs import Run, function_uuid
from sandbox.inngest.events import EventError, read_events, ulid
from sandbox.inngest.functions.config import FunctionConfig, Registration, validation_errors
from sandbox.inngest.keys import ServerKeys

_VERSION: Final = "stand-in"
_ULID_LENGTH: Final = 26
_GUARDED_PATHS: Final = ("/dev", "/fn/", "/v0/", "/v1/")
_MAX_BODY_BYTES: Final = 256 * 1024 * 1024


def build_app(engine: Engine) -> web.Application:
    """Return the application that serves the API of an engine."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_require_key(engine.keys)])
    routes = _Routes(engine)
    app.add_routes(
        [
            web.get("/", routes.page),
            web.get("/health", routes.health),
            web.get("/dev", routes.info),
            web.post("/e/{key}", routes.events),
            web.post("/fn/register", routes.register),
            web.delete("/fn/remove", routes.remove),
            web.get("/v0/runs/{id}/batch", routes.batch),
            web.get("/v0/runs/{id}/actions", routes.actions),
            web.get("/v1/events", routes.list_events),
            web.get("/v1/events/{id}", routes.event),
            web.get("/v1/events/{id}/runs", routes.event_runs),
            web.get("/v1/runs/{id}", routes.run),
            web.delete("/v1/runs/{id}", routes.cancel),
            web.get("/v1/apps/{name}/functions", routes.functions),
            *api_routes(engine.gateway),
        ]
    )
    return app


def _require_key(keys: ServerKeys | None) -> Middleware:
    """Middleware that names the kind of server, and requires the key for a production server's API."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        bearer = request.headers.get("authorization", "")
        if keys is not None and request.path.startswith(_GUARDED_PATHS) and not keys.is_authorized(bearer):
            response = web.Response(text="Authentication failed\n", status=401)
        else:
            response = await handler(request)
        response.headers["x-inngest-server-kind"] = _server_kind(keys)
        return response

    return guard


def _server_kind(keys: ServerKeys | None) -> str:
    return "dev" if keys is None else "cloud"


class _Routes:
    """The request handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def page(self, _: web.Request) -> web.Response:
        """The status page."""
        return web.Response(text=render_page(self._engine), content_type="text/html")

    async def health(self, _: web.Request) -> web.Response:
        """The health check."""
        return web.json_response({"status": 200, "message": "OK"})

    async def info(self, _: web.Request) -> web.Response:
        """The registered functions; only a dev server lists them. ``standIn`` is a field of this server only."""
        if self._engine.keys is not None:
            return web.Response(text="404 page not found\n", status=404)
        functions = [_function_json(function) for function in self._engine.functions.values()]
        return web.json_response(
            {
                "version": _VERSION,
                "standIn": True,
                "authed": False,
                "startOpts": {},
                "functions": functions,
                "handlers": None,
                "isSingleNodeService": False,
                "isMissingSigningKey": False,
                "isMissingEventKeys": False,
                "features": {},
            }
        )

    async def events(self, request: web.Request) -> web.Response:
        """Accept events."""
        if (keys := self._engine.keys) is not None and request.match_info["key"] not in keys.event_keys:
            return web.json_response({"status": 401, "message": "", "error": "Event key not found"}, status=401)
        try:
            events = read_events(await request.read(), request.headers.get("x-inngest-event-id-seed"))
        except EventError as error:
            return _text_response({"ids": [""], "status": 400, "error": str(error)}, 400)
        for event in events:
            self._engine.handle_event(event)
        return _text_response({"ids": [event.internal_id for event in events], "status": 200}, 200)

    async def register(self, request: web.Request) -> web.Response:
        """Register the functions of an app."""
        expected = request.headers.get("x-inngest-expected-server-kind")
        kind = _server_kind(self._engine.keys)
        if expected not in (None, "", kind):
            return _plain_error(f"Expected server kind {kind}, got {expected}", 400)
        try:
            registration = Registration.model_validate_json(await request.read())
        except ValidationError as error:
            return _plain_error(f"Invalid request: {error}", 400)
        for function in registration.functions:
            if found := validation_errors(function):
                logger.error("Inngest stand-in: function {} is invalid: {}", function.id, "; ".join(found))
                refused = {"error": "At least one function is invalid", "data": None, "status": 400}
                return web.json_response(refused, status=400)
        modified = self._engine.register(registration)
        return web.json_response({"ok": True, "modified": modified, "sync_id": ulid()})

    async def remove(self, request: web.Request) -> web.Response:
        """Remove an app."""
        self._engine.remove_app(request.query.get("url", ""))
        return web.json_response({"ok": True})

    async def batch(self, request: web.Request) -> web.Response:
        """The events of a run, for the SDK when a request is too large."""
        run = self._find_run(request)
        events = [] if run is None else [event.payload() for event in run.events]
        return _run_gone(request) if run is None else web.json_response(events)

    async def actions(self, request: web.Request) -> web.Response:
        """The step results of a run, for the SDK when a request is too large."""
        run = self._find_run(request)
        return _run_gone(request) if run is None else web.json_response(run.steps)

    async def list_events(self, request: web.Request) -> web.Response:
        """The newest events, maybe of one name."""
        name, asked = request.query.get("name"), request.query.get("limit", "")
        limit = int(asked) if asked.isdecimal() else 20
        found = [event for event in reversed(self._engine.events.values()) if name in (None, event.name)]
        return _data_response([_event_json(self._engine, event.internal_id) for event in found[:limit]])

    async def event(self, request: web.Request) -> web.Response:
        """One event."""
        event_id = request.match_info["id"]
        if len(event_id) != _ULID_LENGTH:
            return _api_error(f"Invalid event ID: {event_id}", 400)
        if event_id not in self._engine.events:
            return _api_error("Event not found", 404)
        return _data_response(_event_json(self._engine, event_id))

    async def event_runs(self, request: web.Request) -> web.Response:
        """The runs that an event has started."""
        event_id = request.match_info["id"]
        if len(event_id) != _ULID_LENGTH:
            return _api_error(f"Invalid event ID: {event_id}", 400)
        return _data_response([run.to_json() for run in self._engine.event_runs.get(event_id, [])])

    async def run(self, request: web.Request) -> web.Response:
        """One run."""
        run_id = request.match_info["id"]
        if len(run_id) != _ULID_LENGTH:
            return _api_error(f"Invalid run ID: {run_id}", 400)
        run = self._find_run(request)
        return (
            _api_error(f"Unable to load function run: {run_id}", 500)
            if run is None
            else _data_response(run.to_json())
        )

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a run."""
        run = self._find_run(request)
        if run is None:
            return _api_error(f"Unable to load function run: {request.match_info['id']}", 404)
        self._engine.cancel_run(run.id)
        return web.Response(content_type="application/json")

    async def functions(self, request: web.Request) -> web.Response:
        """The functions of an app; here the real server has no ``data`` around the list either."""
        app = self._engine.apps.get(request.match_info["name"])
        if app is None:
            return _api_error("App not found", 404)
        return web.json_response(
            [
                {
                    "internal_id": function_uuid(function.id),
                    "id": function.id,
                    "name": function.name,
                    "config": _function_json(function),
                }
                for function in app.functions
            ]
        )

    def _find_run(self, request: web.Request) -> Run | None:
        return self._engine.runs.get(request.match_info["id"])


def _function_json(function: FunctionConfig) -> dict[str, Any]:
    return {
        "id": function_uuid(function.id),
        "fv": 1,
        "name": function.name,
        "slug": function.id,
        "triggers": [trigger.model_dump(exclude_none=True) for trigger in function.triggers],
        "steps": [
            {
                "id": step.id,
                "name": step.id,
                "uri": step.runtime.url,
                **({"retries": step.retries.attempts} if step.retries else {}),
            }
            for step in function.steps.values()
        ],
    }


def _event_json(engine: Engine, internal_id: str) -> dict[str, Any]:
    event = engine.events[internal_id]
    received = datetime.fromtimestamp(event.received, UTC).isoformat()
    return {
        "internal_id": internal_id,
        "received_at": received,
        "id": event.id,
        "name": event.name,
        "data": event.data,
        "user": event.user,
        "ts": event.ts,
    }


def _data_response(data: object) -> web.Response:
    return web.json_response({"data": data, "metadata": {"fetched_at": datetime.now(UTC).isoformat()}})


def _text_response(body: dict[str, Any], status: int) -> web.Response:
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="text/plain")


def _plain_error(message: str, status: int) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _api_error(message: str, status: int) -> web.Response:
    return web.json_response({"error": message, "data": None, "status": status})


def _run_gone(request: web.Request) -> web.Response:
    message = f"runtime state is no longer available for runID: {request.match_info['id']}"
    return web.json_response({"error": message, "data": None, "status": 410}, status=410)
