"""A fake of the part of ElevenLabs that we use: an aiohttp server whose behaviour tests can change.

It also runs as its own process, with GET and POST /control:
`python -m tests.support.fake_providers.elevenlabs_server --port N`.
Answers are shaped like the ones in ElevenLabs' published API description.
"""

import argparse
import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.test_data.audio import beep

KEY = "sk_fake"
STOCK_VOICES = {"21m00Tcm4TlvDq8ikWAM": "Rachel", "JBFqnCBsd6RMkjVDRZzb": "George"}


@dataclass
class HttpFault:
    """An HTTP error instead of an answer, `times` times (0: until it is removed)."""

    status: int
    code: str = ""
    message: str = "from the fake provider"
    retry_after: float | None = None
    times: int = 1


@dataclass
class Behaviour:
    """What a test can change; POST /control takes the same names."""

    speech: bytes = b""
    """The audio of every speech; by default a tone as long as the text, at the voice's own pitch."""
    hang: bool = False
    drop_next_responses: int = 0
    """For how many created voices to lose the response by closing the connection."""
    max_page_size: int = 100
    """The most voices on one page."""
    faults: list[HttpFault] = field(default_factory=list)


class FakeElevenLabs:
    """`await start()`, then `url`, `voices`, `requests`, `samples`, `behaviour`, and `await close()`."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.voices: dict[str, dict[str, Any]] = {
            voice_id: _voice(voice_id, name, "premade") for voice_id, name in STOCK_VOICES.items()
        }
        self.samples: dict[str, list[tuple[str, str, bytes]]] = {}
        """For each created voice: file name, type and bytes."""
        self.requests: list[tuple[str, str]] = []
        """Method, and path with query."""
        self.speech_requests: list[dict[str, Any]] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [
                web.post("/v1/text-to-speech/{id}", self._speak),
                web.get("/v2/voices", self._search),
                web.post("/v1/voices/add", self._add_voice),
                web.delete("/v1/voices/{id}", self._delete),
                web.get("/control", self._get_state),
                web.post("/control", self._set_behaviour),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, bound = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{bound}"

    async def close(self) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def fail_next(self, status: int, code: str = "", **rest: Any) -> None:
        """Answer the next request(s) with an HTTP error."""
        self.behaviour.faults.append(HttpFault(status, code, **rest))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/control":
            return await handler(request)  # type: ignore[no-any-return]
        self.requests.append((request.method, request.path_qs))
        if self.behaviour.hang:
            await self._closing.wait()
        if self.behaviour.faults:
            return self._fault_response()
        if request.headers.get("xi-api-key") != KEY:
            return _error_response(401, "invalid_api_key", "Invalid API key")
        return await handler(request)  # type: ignore[no-any-return]

    def _fault_response(self) -> web.Response:
        fault = self.behaviour.faults[0]
        fault.times -= 1
        if fault.times == 0:
            self.behaviour.faults.pop(0)
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return _error_response(fault.status, fault.code, fault.message, headers)

    async def _speak(self, request: web.Request) -> web.Response:
        body, voice_id = await request.json(), request.match_info["id"]
        if voice_id not in self.voices:
            return _error_response(404, "voice_not_found", f"A voice with voice_id {voice_id} was not found.")
        if not request.query.get("output_format", "").startswith("opus_48000_"):
            return _error_response(400, "output_format_not_allowed", "only opus is spoken here")
        self.speech_requests.append({"voice": voice_id, **body})
        hertz = 200.0 + list(self.voices).index(voice_id) * 60
        return web.Response(body=self.behaviour.speech or beep(0.3 + len(body["text"]) / 40, hertz))

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query
        size = min(int(query.get("page_size", "10")), self.behaviour.max_page_size)
        if int(query.get("page_size", "10")) > 100:
            return _error_response(422, "", "page_size must be at most 100")
        found = [
            voice
            for voice in list(self.voices.values())[::-1]
            if query.get("search", "").lower() in voice["name"].lower()
            and query.get("category", voice["category"]) == voice["category"]
        ]
        start = int(query.get("next_page_token", "0"))
        more = start + size < len(found)
        page = {"voices": found[start : start + size], "has_more": more, "total_count": 0}
        return web.json_response({**page, "next_page_token": str(start + size) if more else None})

    async def _add_voice(self, request: web.Request) -> web.Response:
        form = await request.post()
        files = [file for file in form.getall("files", []) if isinstance(file, web.FileField)]
        if not files or not isinstance(name := form.get("name"), str):
            return _error_response(422, "", "name and files are required")
        voice_id = secrets.token_hex(10)
        self.voices[voice_id] = _voice(voice_id, name, "cloned")
        self.samples[voice_id] = [(file.filename, file.content_type, file.file.read()) for file in files]
        if self.behaviour.drop_next_responses > 0:
            self.behaviour.drop_next_responses -= 1
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return web.json_response({"voice_id": voice_id, "requires_verification": False})

    async def _delete(self, request: web.Request) -> web.Response:
        if self.voices.pop(request.match_info["id"], None) is None:
            return _error_response(400, "voice_does_not_exist", "A voice with this id does not exist.")
        return web.json_response({"status": "ok"})

    async def _get_state(self, _request: web.Request) -> web.Response:
        state = {
            "requests": self.requests,
            "voices": list(self.voices.values()),
            "speech_requests": self.speech_requests,
        }
        return web.json_response(state)

    async def _set_behaviour(self, request: web.Request) -> web.Response:
        for name, value in (await request.json()).items():
            if name not in Behaviour.__dataclass_fields__:
                return web.json_response({"error": f"no setting {name}"}, status=400)
            setattr(self.behaviour, name, [HttpFault(**one) for one in value] if name == "faults" else value)
        return web.json_response({"ok": True})


def _voice(voice_id: str, name: str, category: str) -> dict[str, Any]:
    return {
        "voice_id": voice_id,
        "name": name,
        "category": category,
        "labels": {},
        "available_for_tiers": [],
        "high_quality_base_model_ids": [],
    }


def _error_response(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    detail: Any = {"status": code, "message": message}
    if not code:
        detail = [{"loc": ["body"], "msg": message, "type": "value_error"}]
    return web.json_response({"detail": detail}, status=status, headers=headers)


async def _serve(port: int) -> None:
    server = FakeElevenLabs()
    await server.start(port)
    print(json.dumps({"url": server.url, "key": KEY}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fake ElevenLabs, for tests.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
