"""A fake of the part of OpenAI that we use, whose behaviour tests can change."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from PIL import Image

from tests.support.fake_providers.fake_provider import FakeProvider
from tests.support.test_data.audio import beep

KEY = "sk-fake"
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors",
    "violence", "violence/graphic",
)  # fmt: skip


@dataclass
class Behaviour:
    """What a test can change."""

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


class FakeOpenAI(FakeProvider):
    """`url` includes /v1."""

    url_path = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.behaviour = Behaviour()
        self.moderated_texts: list[str] = []
        """The texts sent to moderation."""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        """Every other request: its path without /v1, and its body."""

    def _routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.post("/v1/moderations", self._moderate),
            web.post("/v1/chat/completions", self._chat),
            web.post("/v1/audio/transcriptions", self._transcribe),
            web.post("/v1/audio/speech", self._speak),
        ]

    async def _record(self, request: web.Request) -> None:
        if request.path.endswith("/moderations"):
            self.moderated_texts.append((await request.json())["input"])
        else:
            self.requests.append((request.path.removeprefix("/v1"), await _body(request)))

    def _has_key(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {KEY}"

    def _missing_key(self) -> web.Response:
        return self._error(401, "invalid_api_key", f"Incorrect API key provided: {KEY}.")

    def _error(self, status: int, code: str, message: str) -> web.Response:
        error = {"message": message, "type": "error", "param": None, "code": code or None}
        return web.json_response({"error": error}, status=status)

    async def _chat(self, _request: web.Request) -> web.Response:
        body = self.requests[-1][1]
        content = body["messages"][-1]["content"]
        answer = content if isinstance(content, str) else _describe_image(content[0]["image_url"]["url"])
        if answer is None:
            return self._error(400, "invalid_image_format", "You uploaded an unsupported image.")
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
            return self._error(400, "", f"Unrecognized file format: {ending}")
        return web.json_response({"text": self.behaviour.transcript})

    async def _speak(self, _request: web.Request) -> web.Response:
        body = self.requests[-1][1]
        if len(body["input"]) > 4096 or body.get("response_format") != "opus":
            return self._error(400, "", "the input is too long, or the format is not opus")
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
