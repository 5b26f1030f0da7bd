"""The part of the fake Replicate for trainings, the models we create, and signed webhooks."""

import base64
import hmac
import secrets
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.support.fake_providers.replicate_server import FakeReplicate

WEBHOOK_SECRET = f"whsec_{base64.b64encode(b'a secret of the fake').decode()}"
MODEL_FIELDS = {"owner", "name", "visibility", "hardware", "description", "github_url", "paper_url", "license_url"}


def signed_headers(body: bytes, secret: str, signed_at: datetime, message_id: str | None = None) -> dict[str, str]:
    """The headers that Replicate sends with this body."""
    message, seconds = message_id or f"msg_{secrets.token_hex(8)}", str(int(signed_at.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message}.{seconds}.".encode() + body, sha256).digest()
    return {
        "Content-Type": "application/json",
        "Webhook-Id": message,
        "Webhook-Timestamp": seconds,
        "Webhook-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def training_routes(server: "FakeReplicate") -> list[web.RouteDef]:
    part = _Trainings(server)
    return [
        web.post("/v1/models/{owner}/{name}/versions/{version}/trainings", part.create),
        web.get("/v1/trainings", part.list_all),
        web.get("/v1/trainings/{id}", part.get),
        web.post("/v1/trainings/{id}/cancel", part.cancel),
        web.post("/v1/models", part.create_model),
        web.get("/v1/models/{owner}/{name}", part.get_model),
        web.delete("/v1/models/{owner}/{name}/versions/{version}", part.delete_version),
        web.get("/v1/webhooks/default/secret", part.webhook_secret),
    ]


class _Trainings:
    def __init__(self, server: "FakeReplicate") -> None:
        self._server = server

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        known = {"input", "destination", "webhook", "webhook_events_filter"}
        if set(body) - known or not isinstance(body.get("input"), dict):
            return _problem_response(422, "- input is required, and nothing else but a destination and a webhook")
        if body.get("destination") not in self._server.models:
            return _problem_response(404, "The destination model does not exist")
        info = request.match_info
        return await self._server.accept(request, f"{info['owner']}/{info['name']}", info["version"], body)

    async def list_all(self, request: web.Request) -> web.Response:
        return self._server.page(request, [made for made in self._server.predictions if made.destination])

    async def get(self, request: web.Request) -> web.Response:
        made = self._server.find(request)
        if made is None or made.destination is None:
            return _problem_response(404, "The requested training does not exist")
        return web.json_response(self._server.to_json(made))

    async def cancel(self, request: web.Request) -> web.Response:
        made = self._server.find(request)
        if made is None or made.destination is None:
            return _problem_response(404, "The requested training does not exist")
        if made.status() in {"starting", "processing"}:
            made.cancelled_at = datetime.now(UTC)
        return web.json_response(self._server.to_json(made))

    async def create_model(self, request: web.Request) -> web.Response:
        body = await request.json()
        missing = {"owner", "name", "visibility", "hardware"} - set(body)
        if missing or set(body) - MODEL_FIELDS:
            return _problem_response(422, f"- missing: {sorted(missing)}, or unexpected fields")
        name = f"{body['owner']}/{body['name']}"
        if name in self._server.models:
            return _problem_response(409, "A model with that name already exists")
        self._server.models[name] = body
        return web.json_response(self._model_to_json(name), status=201)

    async def get_model(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        if name not in self._server.models:
            return _problem_response(404, "The requested model does not exist")
        return web.json_response(self._model_to_json(name))

    async def delete_version(self, request: web.Request) -> web.Response:
        info = request.match_info
        self._server.deleted_versions.append(f"{info['owner']}/{info['name']}:{info['version']}")
        return web.Response(status=202)

    async def webhook_secret(self, _request: web.Request) -> web.Response:
        return web.json_response({"key": WEBHOOK_SECRET})

    def _model_to_json(self, name: str) -> dict[str, Any]:
        """As in Replicate's API description: the example and the version may be incomplete."""
        owner, _, short = name.partition("/")
        return {
            "url": f"https://replicate.com/{name}",
            "owner": owner,
            "name": short,
            "description": None,
            "visibility": self._server.models[name]["visibility"],
            "run_count": 0,
            "default_example": {},
            "latest_version": {"id": "v1", "created_at": datetime.now(UTC).isoformat()},
        }


def _problem_response(status: int, detail: str) -> web.Response:
    return web.json_response({"title": "Refused", "detail": detail, "status": status}, status=status)
