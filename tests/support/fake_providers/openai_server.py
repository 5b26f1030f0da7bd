"""A fake of the part of OpenAI that we use: an aiohttp server whose behaviour tests can change.

It also runs as its own process, with GET and POST /control:
`python -m tests.support.fake_providers.openai_server --port N`.
"""

import argparse
import asyncio
import base64
import io
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image

from tests.support.test_data.audio import beep

KEY = "sk-fake"
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors",
    "violence", "violence/graphic",
)  # fmt: skip


@dataclass
class HttpFault:
    """An HTTP error instead of an answer, `times` times."""

    status: int
    message: str = "from the fake provider"
    code: str | None = None
    retry_after: float | None = None
    times: int = 1


@dataclass
class Behaviour:
    """What a test can change; POST /control takes the same names."""

    flagged_words: dict[str, str] = field(default_factory=lambda: {"#nsfw": "sexual"})
    """Which words in a text are flagged, and under which category."""
    reply: str = ""
    """What a chat model answers; by default, what it was sent."""
    refuses: bool = False
    """Whether a chat model refuses to answer."""
    transcript: str = "a lake in the mountains"
    """The transcript of every recording."""
    speech: bytes = b""
    """The audio of every speech; by default a tone as long as the text."""
    hang: bool = False
    faults: list[HttpFault] = field(default_factory=list)


class FakeOpenAI:
    """`await start()`, then `url` (with /v1), `moderated_texts`, `requests`, `behaviour`, and `await close()`."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.moderated_texts: list[str] = []
        """The texts sent to moderation."""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        """Every other request: its path without /v1, and its body."""
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.post("/v1/moderations", self._moderate),
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/audio/transcriptions", self._transcribe),
                web.post("/v1/audio/speech", self._speak),
                web.get("/control", self._get_state),
                web.post("/control", self._set_behaviour),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}/v1"

    async def close(self) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def fail_next(self, status: int, **rest: Any) -> None:
        """Answer the next request(s) with an HTTP error."""
        self.behaviour.faults.append(HttpFault(status, **rest))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/control":
            return await handler(request)  # type: ignore[no-any-return]
        if request.path.endswith("/moderations"):
            self.moderated_texts.append((await request.json())["input"])
        else:
            self.requests.append((request.path.removeprefix("/v1"), await _body(request)))
        if self.behaviour.hang:
            await self._closing.wait()
        if self.behaviour.faults:
            return self._fault_response()
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error_response(401, f"Incorrect API key provided: {KEY}.", "invalid_api_key")
        return await handler(request)  # type: ignore[no-any-return]

    async def _chat(self, _request: web.Request) -> web.Response:
        body = self.requests[-1][1]
        content = body["messages"][-1]["content"]
        answer = content if isinstance(content, str) else _describe_image(content[0]["image_url"]["url"])
        if answer is None:
            return _error_response(400, "You uploaded an unsupported image.", "invalid_image_format")
        message = {
            "role": "assistant",
            "content": self.behaviour.reply or f"{answer}, in soft light",
            "refusal": None,
        }
        if self.behaviour.refuses:
            message |= {"content": None, "refusal": "I cannot help with that."}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}
        completion = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}
        return web.json_response({**completion, "choices": [choice]})

    async def _transcribe(self, _request: web.Request) -> web.Response:
        body = self.requests[-1][1]
        ending = body["file"]["name"].rpartition(".")[2]
        if ending not in {"flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"}:
            return _error_response(400, f"Unrecognized file format: {ending}", None)
        return web.json_response({"text": self.behaviour.transcript})

    async def _speak(self, _request: web.Request) -> web.Response:
        body = self.requests[-1][1]
        if len(body["input"]) > 4096 or body.get("response_format") != "opus":
            return _error_response(400, "the input is too long, or the format is not opus", None)
        note = self.behaviour.speech or beep(0.3 + len(body["input"]) / 40)
        return web.Response(body=note, content_type="audio/ogg")

    async def _moderate(self, request: web.Request) -> web.Response:
        body = await request.json()
        found = {category for word, category in self.behaviour.flagged_words.items() if word in body["input"]}
        result = {
            "flagged": bool(found),
            "categories": {name: name in found for name in CATEGORIES},
            "category_scores": {name: 0.99 if name in found else 0.001 for name in CATEGORIES},
            "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
        }
        return web.json_response({"id": "modr-1", "model": body["model"], "results": [result]})

    def _fault_response(self) -> web.Response:
        fault = self.behaviour.faults[0]
        fault.times -= 1
        if fault.times == 0:
            self.behaviour.faults.pop(0)
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return _error_response(fault.status, fault.message, fault.code, headers)

    async def _get_state(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"moderated_texts": self.moderated_texts, "requests": [path for path, _ in self.requests]}
        )

    async def _set_behaviour(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            if name not in Behaviour.__dataclass_fields__:
                return web.json_response({"error": f"no setting {name}"}, status=400)
            setattr(self.behaviour, name, [HttpFault(**one) for one in value] if name == "faults" else value)
        return web.json_response({"ok": True})


async def _body(request: web.Request) -> dict[str, Any]:
    """The fields of a JSON or a form; a file as its name, type and bytes."""
    if request.content_type == "application/json":
        return dict(await request.json())
    fields: dict[str, Any] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            fields[name] = {"name": value.filename, "type": value.content_type, "data": value.file.read()}
        else:
            fields[name] = value
    return fields


def _describe_image(url: str) -> str | None:
    """What a data: URL shows; None where it is not an image."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    except OSError:
        return None
    return f"A {image.format} image of {image.width} by {image.height}"


def _error_response(
    status: int, message: str, code: str | None, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


async def _serve(port: int) -> None:
    server = FakeOpenAI()
    await server.start(port)
    print(json.dumps({"url": server.url, "key": KEY}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fake OpenAI, for tests.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
