"""A fake Replicate, whose behaviour tests can change.

It also runs as its own process, for benchmarks: `python -m tests.support.fake_providers.replicate_server --port N`.
There GET /control returns what was requested and POST /control changes the behaviour, both as JSON. Responses are
shaped like the ones in Replicate's published API description.
"""

import argparse
import asyncio
import hashlib
import io
import json
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from aiohttp import ClientSession, web
from PIL import Image

from tests.support.fake_providers.fake_provider import FakeProvider, drop_connection
from tests.support.fake_providers.replicate_trainings import WEBHOOK_SECRET, signed_headers, training_routes

TOKEN = "r8_fake"
PAGE_SIZE = 100
Outcome = Literal["succeed", "fail", "nsfw", "never", "aborted"]
ERRORS = {
    "fail": "CUDA out of memory. Tried to allocate 20.00 MiB",
    "nsfw": "NSFW content detected. Try running it again, or try a different prompt.",
    "aborted": None,
}


@dataclass
class FakePrediction:
    """One accepted prediction."""

    id: str
    model: str
    version: str
    input: dict[str, Any]
    outcome: str
    created_at: datetime
    seconds: float
    webhook: str | None = None
    destination: str | None = None
    """The model that a training pushes its version to; None for a prediction."""
    cancelled_at: datetime | None = None

    def status(self) -> str:
        if self.cancelled_at:
            return "canceled"
        elapsed = (datetime.now(UTC) - self.created_at).total_seconds()
        if elapsed >= self.seconds and self.outcome != "never":
            return {"succeed": "succeeded", "aborted": "aborted"}.get(self.outcome, "failed")
        return "starting" if elapsed < self.seconds * 0.2 else "processing"


@dataclass
class Behaviour:
    """What a test can change; POST /control takes the same names."""

    seconds: float = 0.05
    outcome: Outcome | list[Outcome] | Callable[[Mapping[str, Any]], Outcome] = "succeed"
    """One for all, a queue (the last one stays), or a function of the input."""
    hang_before_response: bool = False
    """Accept and store predictions, and never respond."""
    drop_next_responses: int = 0
    """For how many accepted predictions to lose the response by closing the connection."""
    response_delay: float = 0.0
    media: bytes | None = None
    """The bytes of every output; a small image where this is None."""
    text_models: tuple[str, ...] = ("black-forest-labs/flux-pro-trainer",)
    """Models whose output is a text, not a file."""


class FakeReplicate(FakeProvider):
    def __init__(self, **behaviour: Any) -> None:
        super().__init__()
        self.behaviour = Behaviour(**behaviour)
        self.predictions: list[FakePrediction] = []
        self.files: dict[str, tuple[str, str, bytes]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        """The models that we created, by `owner/name`, as requested."""
        self.deleted_versions: list[str] = []
        self.creation_attempts = 0
        """How many times a prediction was requested, answered or not, refused or not."""
        self.requests: list[tuple[str, str, bool]] = []
        """Every request: method, path with query, whether it had the right token."""

    def _routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.post("/v1/models/{owner}/{name}/predictions", self._create_of_model),
            web.post("/v1/predictions", self._create_of_version),
            web.get("/v1/predictions", self._list),
            web.get("/v1/predictions/{id}", self._get),
            web.post("/v1/predictions/{id}/cancel", self._cancel),
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}", self._file),
            web.get("/v1/account", self._account),
            *training_routes(self),
            web.get("/output/{id}/{name}", self._output),
            web.get("/control", self._get_state),
            web.post("/control", self._set_behaviour),
        ]

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        return await (handler(request) if request.path == "/control" else super()._guard(request, handler))

    async def _record(self, request: web.Request) -> None:
        self.requests.append((request.method, request.path_qs, self._has_key(request)))
        if request.method == "POST" and request.path.endswith(("/predictions", "/trainings")):
            self.creation_attempts += 1

    def _has_key(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _missing_key(self) -> web.Response:
        return problem_response(401, "Unauthenticated", "You did not pass a valid authentication token")

    def _error(self, status: int, code: str, message: str) -> web.Response:
        return problem_response(status, code or "Refused by the fake provider", message)

    async def call_webhook(self, prediction_id: str) -> int:
        """Call a prediction's webhook as Replicate does, and return the HTTP status of the response."""
        made = next(made for made in self.predictions if made.id == prediction_id)
        assert made.webhook, "the prediction has no webhook"
        body = json.dumps(self.to_json(made)).encode()
        async with ClientSession() as session:
            headers = signed_headers(body, WEBHOOK_SECRET, datetime.now(UTC))
            async with session.post(made.webhook, data=body, headers=headers) as response:
                return response.status

    async def _create_of_model(self, request: web.Request) -> web.Response:
        body = await request.json()
        if set(body) - {"input", "stream", "webhook", "webhook_events_filter"} or "input" not in body:
            return problem_response(422, "Input validation failed", "unexpected fields")
        model = f"{request.match_info['owner']}/{request.match_info['name']}"
        return await self.accept(request, model, "hidden", body)

    async def _create_of_version(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not isinstance(body.get("version"), str) or "input" not in body:
            return problem_response(422, "Input validation failed", "- version is required")
        owner_name, _, version = body["version"].rpartition(":")
        return await self.accept(request, owner_name or "acme/model", version, body)

    async def accept(self, request: web.Request, model: str, version: str, body: dict[str, Any]) -> web.Response:
        """Store a prediction or a training, and respond as `behaviour` says."""
        model_input = body["input"]
        made = FakePrediction(
            id=secrets.token_hex(13),
            model=model,
            version=version,
            input=model_input,
            outcome=self._next_outcome(model_input),
            created_at=datetime.now(UTC),
            seconds=self.behaviour.seconds,
            webhook=body.get("webhook"),
            destination=body.get("destination"),
        )
        self.predictions.append(made)
        if self.behaviour.hang_before_response:
            await self._closing.wait()
        if self.behaviour.drop_next_responses > 0:
            self.behaviour.drop_next_responses -= 1
            return drop_connection(request)
        if self.behaviour.response_delay:
            await asyncio.sleep(self.behaviour.response_delay)
        return web.json_response(self.to_json(made), status=201)

    def _next_outcome(self, model_input: Mapping[str, Any]) -> Outcome:
        outcome = self.behaviour.outcome
        if callable(outcome):
            return outcome(model_input)
        if isinstance(outcome, str):
            return outcome
        return outcome.pop(0) if len(outcome) > 1 else outcome[0]

    async def _list(self, request: web.Request) -> web.Response:
        return self.page(request, [made for made in self.predictions if made.destination is None])

    def page(self, request: web.Request, all_made: list[FakePrediction]) -> web.Response:
        """One page of predictions or trainings, newest first."""
        newest_first = all_made[::-1]
        offset = int(request.query.get("cursor", "0"))
        rest = offset + PAGE_SIZE < len(newest_first)
        # The address is Replicate's own on purpose: a client must not carry its token there.
        next_page = f"https://api.replicate.com{request.path}?cursor={offset + PAGE_SIZE}" if rest else None
        results = [self.to_json(made) for made in newest_first[offset : offset + PAGE_SIZE]]
        return web.json_response({"previous": None, "next": next_page, "results": results})

    async def _get(self, request: web.Request) -> web.Response:
        made = self.find(request)
        if made is None or made.destination is not None:
            return problem_response(404, "Not found", "The requested prediction does not exist")
        return web.json_response(self.to_json(made))

    async def _cancel(self, request: web.Request) -> web.Response:
        made = self.find(request)
        if made is None or made.destination is not None:
            return problem_response(404, "Not found", "The requested prediction does not exist")
        if made.status() in {"starting", "processing"}:
            made.cancelled_at = datetime.now(UTC)
        return web.json_response(self.to_json(made))

    def find(self, request: web.Request) -> FakePrediction | None:
        return next((made for made in self.predictions if made.id == request.match_info["id"]), None)

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        content = form["content"]
        if not isinstance(content, web.FileField):
            return problem_response(422, "Invalid file", "content must be a file")
        file_id = secrets.token_hex(13)
        self.files[file_id] = (content.filename, content.content_type, content.file.read())
        return web.json_response(self._file_to_json(file_id), status=201)

    async def _file(self, request: web.Request) -> web.Response:
        if request.match_info["id"] not in self.files:
            return problem_response(404, "Not found", "no such file")
        return web.json_response(self._file_to_json(request.match_info["id"]))

    async def _account(self, _request: web.Request) -> web.Response:
        return web.json_response({"type": "organization", "username": "acme"})

    async def _output(self, request: web.Request) -> web.Response:
        if (made := self.find(request)) is None:
            return web.Response(status=404)
        if self.behaviour.media is not None:
            return web.Response(body=self.behaviour.media)
        return web.Response(body=small_png(made.input.get("seed", 0)), content_type="image/png")

    async def _get_state(self, _request: web.Request) -> web.Response:
        made = [self.to_json(one) for one in self.predictions]
        return web.json_response({"creation_attempts": self.creation_attempts, "predictions": made})

    async def _set_behaviour(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            if name not in Behaviour.__dataclass_fields__:
                return web.json_response({"error": f"no setting {name}"}, status=400)
            setattr(self.behaviour, name, value)
        return web.json_response({"ok": True})

    def _output_of(self, made: FakePrediction) -> Any:
        if made.destination is not None:
            return {"version": f"{made.destination}:{made.id}0a", "weights": f"{self.url}/output/{made.id}/w.tar"}
        if made.model in self.behaviour.text_models:
            return f"finetune-{made.id}"
        count = int(made.input.get("num_outputs", 1))
        return [f"{self.url}/output/{made.id}/{number}.png" for number in range(count)]

    def to_json(self, made: FakePrediction) -> dict[str, Any]:
        """The JSON of a prediction or a training."""
        status = made.status()
        ended = status not in {"starting", "processing"}
        kind = "predictions" if made.destination is None else "trainings"
        finished = made.cancelled_at or made.created_at + timedelta(seconds=made.seconds)
        shape = {
            "id": made.id,
            "model": made.model,
            "version": made.version,
            "input": made.input,
            "output": self._output_of(made) if status == "succeeded" else None,
            "data_removed": False,
            "error": ERRORS.get(made.outcome) if status in {"failed", "aborted"} else None,
            "logs": _logs(made, status),
            "source": "api",
            "status": status,
            "created_at": _iso(made.created_at),
            "urls": {
                "get": f"{self.url}/v1/{kind}/{made.id}",
                "cancel": f"{self.url}/v1/{kind}/{made.id}/cancel",
                "web": f"https://replicate.com/p/{made.id}",
            },
        }
        if made.destination is not None and status != "succeeded":
            del shape["output"]
        if status != "starting":
            shape["started_at"] = _iso(made.created_at)
        if ended:
            shape |= {"completed_at": _iso(finished), "metrics": {"total_time": made.seconds}}
        return shape

    def _file_to_json(self, file_id: str) -> dict[str, Any]:
        _, kind, data = self.files[file_id]
        return {
            "id": file_id,
            "content_type": kind,
            "size": len(data),
            "checksums": {"sha256": hashlib.sha256(data).hexdigest()},
            "metadata": {},
            "created_at": _iso(datetime.now(UTC)),
            "expires_at": _iso(datetime.now(UTC) + timedelta(days=1)),
            "urls": {"get": f"{self.url}/v1/files/{file_id}"},
        }


def closed_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def small_png(seed: int) -> bytes:
    """A real image, 64 by 64, in a colour that follows from the seed."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (seed % 256, seed // 256 % 256, 120)).save(file, "PNG")
    return file.getvalue()


def _logs(made: FakePrediction, status: str) -> str:
    if status == "starting":
        return ""
    elapsed = (datetime.now(UTC) - made.created_at).total_seconds()
    part = min(1.0, elapsed / made.seconds) if made.seconds else 1.0
    return f"Using seed: {made.input.get('seed')}\n {round(part * 100)}%|####      | {round(part * 28)}/28"


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def problem_response(status: int, title: str, detail: str) -> web.Response:
    return web.json_response({"title": title, "detail": detail, "status": status}, status=status)


async def _serve(port: int) -> None:
    server = FakeReplicate()
    await server.start(port)
    print(json.dumps({"url": server.url, "token": TOKEN}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fake Replicate, for tests.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
