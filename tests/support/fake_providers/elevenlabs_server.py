"""A fake of the part of ElevenLabs that we use, whose behaviour tests can change.

Answers are shaped like the ones in ElevenLabs' published API description.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.support.fake_providers.fake_provider import FakeProvider, drop_connection
from tests.support.test_data.audio import beep

KEY = "sk_fake"
STOCK_VOICES = {"21m00Tcm4TlvDq8ikWAM": "Rachel", "JBFqnCBsd6RMkjVDRZzb": "George"}


@dataclass
class Behaviour:
    """What a test can change."""

    speech: bytes = b""
    """The audio of every speech; by default a tone as long as the text, at the voice's own pitch."""
    drop_next_responses: int = 0
    """For how many created voices to lose the response by closing the connection."""
    max_page_size: int = 100
    """The most voices on one page."""


class FakeElevenLabs(FakeProvider):
    def __init__(self) -> None:
        super().__init__()
        self.behaviour = Behaviour()
        self.voices: dict[str, dict[str, Any]] = {
            voice_id: _voice(voice_id, name, "premade") for voice_id, name in STOCK_VOICES.items()
        }
        self.samples: dict[str, list[tuple[str, str, bytes]]] = {}
        """For each created voice: file name, type and bytes."""
        self.requests: list[tuple[str, str]] = []
        """Method, and path with query."""
        self.speech_requests: list[dict[str, Any]] = []

    def _routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.post("/v1/text-to-speech/{id}", self._speak),
            web.get("/v2/voices", self._search),
            web.post("/v1/voices/add", self._add_voice),
            web.delete("/v1/voices/{id}", self._delete),
        ]

    async def _record(self, request: web.Request) -> None:
        self.requests.append((request.method, request.path_qs))

    def _has_key(self, request: web.Request) -> bool:
        return request.headers.get("xi-api-key") == KEY

    def _missing_key(self) -> web.Response:
        return self._error(401, "invalid_api_key", "Invalid API key")

    def _error(self, status: int, code: str, message: str) -> web.Response:
        detail: Any = {"status": code, "message": message}
        if not code:
            detail = [{"loc": ["body"], "msg": message, "type": "value_error"}]
        return web.json_response({"detail": detail}, status=status)

    async def _speak(self, request: web.Request) -> web.Response:
        body, voice_id = await request.json(), request.match_info["id"]
        if voice_id not in self.voices:
            return self._error(404, "voice_not_found", f"A voice with voice_id {voice_id} was not found.")
        if not request.query.get("output_format", "").startswith("opus_48000_"):
            return self._error(400, "output_format_not_allowed", "only opus is spoken here")
        self.speech_requests.append({"voice": voice_id, **body})
        hertz = 200.0 + list(self.voices).index(voice_id) * 60
        return web.Response(body=self.behaviour.speech or beep(0.3 + len(body["text"]) / 40, hertz))

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query
        size = min(int(query.get("page_size", "10")), self.behaviour.max_page_size)
        if int(query.get("page_size", "10")) > 100:
            return self._error(422, "", "page_size must be at most 100")
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
            return self._error(422, "", "name and files are required")
        voice_id = secrets.token_hex(10)
        self.voices[voice_id] = _voice(voice_id, name, "cloned")
        self.samples[voice_id] = [(file.filename, file.content_type, file.file.read()) for file in files]
        if self.behaviour.drop_next_responses > 0:
            self.behaviour.drop_next_responses -= 1
            return drop_connection(request)
        return web.json_response({"voice_id": voice_id, "requires_verification": False})

    async def _delete(self, request: web.Request) -> web.Response:
        if self.voices.pop(request.match_info["id"], None) is None:
            return self._error(400, "voice_does_not_exist", "A voice with this id does not exist.")
        return web.json_response({"status": "ok"})


def _voice(voice_id: str, name: str, category: str) -> dict[str, Any]:
    return {
        "voice_id": voice_id,
        "name": name,
        "category": category,
        "labels": {},
        "available_for_tiers": [],
        "high_quality_base_model_ids": [],
    }
