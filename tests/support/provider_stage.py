"""A stage where every provider is real to the bot: Replicate, OpenAI and ElevenLabs as stands that are listened to."""

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiohttp import web

from providers.offline.video import shoot
from services.generation.catalogue import MODELS
from storage.pool import create_pool
from tests.support import elevenlabs_stand, openai_stand
from tests.support.offline_stage import STARS, Guest
from tests.support.process import Forge
from tests.support.replicate_stand import ReplicateStand, StandPrediction, small_png
from tests.support.stage import BOT_TOKEN, PlanName, Stage

FILM = shoot("", 1, aspect="1:1", seconds=0.5)
_FILMS = {m.model for name in ("text_to_video", "image_to_video", "lip_sync") for m in MODELS[name].values()}
_ONE = {m.model for m in MODELS["neuro_image_v2"].values()} | _FILMS


@dataclass
class Trap:
    """What a provider answers instead of its result, to questions with `mark` in them."""

    path: str
    mark: bytes
    status: int
    """0: the work is done, and its answer lost on the way."""
    code: str = ""
    message: str = "said by the stand"
    retry_after: float | None = None
    times: int = 1
    """0: always."""
    asked: int = 0
    """How many questions to `path` had the mark, answered or not."""

    def springs(self) -> bool:
        self.asked += 1
        return self.times == 0 or self.asked <= self.times


@dataclass
class Ear:
    """Everything that reaches a provider: its line, its headers, and its body with all files."""

    heard: list[bytes] = field(default_factory=list)
    traps: list[Trap] = field(default_factory=list)

    async def hear(self, request: web.Request) -> Trap | None:
        """Write a question down; gives the trap it springs."""
        head = [f"{request.method} {request.path_qs}", *(f"{name}: {it}" for name, it in request.headers.items())]
        body = await _body(request)
        self.heard.append("\n".join(head).encode() + b"\n\n" + body)
        for trap in self.traps:
            if trap.path in request.path and trap.mark in body:
                return trap if trap.springs() else None
        return None


async def _body(request: web.Request) -> bytes:
    if not request.content_type.startswith("multipart/"):
        return await request.read()
    parts = []
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            parts += [name.encode(), value.filename.encode(), value.file.read()]
            value.file.seek(0)
        else:
            parts += [name.encode(), str(value).encode()]
    return b"\n".join(parts)


def _lost(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


class HeardOpenAI(openai_stand.OpenAIStand):
    def __init__(self, ear: Ear) -> None:
        super().__init__()
        self._ear = ear

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        trap = await self._ear.hear(request)
        if trap is not None and trap.status:
            refusal = openai_stand.Refusal(trap.status, trap.message, trap.code or None, trap.retry_after)
            self.knobs.refusals.insert(0, refusal)
            return self._refused()
        answer = await super()._guard(request, handler)
        return answer if trap is None else _lost(request)


class HeardElevenLabs(elevenlabs_stand.ElevenLabsStand):
    def __init__(self, ear: Ear) -> None:
        super().__init__()
        self._ear = ear

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        trap = await self._ear.hear(request)
        if trap is not None and trap.status:
            refusal = elevenlabs_stand.Refusal(trap.status, trap.code, trap.message, trap.retry_after)
            self.knobs.refusals.insert(0, refusal)
            return self._refused()
        answer = await super()._guard(request, handler)
        return answer if trap is None else _lost(request)


class HeardReplicate(ReplicateStand):
    """Models of films give one film, as Replicate's do: an address, not a list of them."""

    def __init__(self, ear: Ear) -> None:
        super().__init__(seconds=0.0)
        self._ear = ear

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        await self._ear.hear(request)
        return await super()._guard(request, handler)

    def _output_of(self, made: StandPrediction) -> Any:
        return f"{self.url}/output/{made.id}/one" if made.model in _ONE else super()._output_of(made)

    async def _output(self, request: web.Request) -> web.Response:
        made = self.find(request)
        if made is not None and made.model in _FILMS:
            return web.Response(body=FILM, content_type="video/mp4")
        return await super()._output(request)

    def picture_of(self, made: StandPrediction) -> bytes:
        return small_png(made.input.get("seed", 0))

    def file_in(self, given: str) -> bytes:
        """The bytes of a file in an input: inside it, or uploaded before."""
        if given.startswith("data:"):
            return base64.b64decode(given.partition(",")[2])
        assert given.startswith(f"{self.url}/v1/files/"), given
        return self.files[given.rpartition("/")[2]][2]


@dataclass
class ProviderStage(Stage):
    """Everybody begins with 2000 Stars; every provider has its key."""

    ear: Ear = field(default_factory=Ear)
    plan: PlanName = "B"

    def __post_init__(self) -> None:
        self.heard_replicate = self.replicate = HeardReplicate(self.ear)
        self.openai = HeardOpenAI(self.ear)
        self.elevenlabs = HeardElevenLabs(self.ear)

    async def open(self) -> None:
        await super().open()
        await self.openai.start()
        await self.elevenlabs.start()
        self.settings |= {
            "WELCOME_CREDITS": str(STARS),
            "OPENAI_API_KEY": openai_stand.KEY,
            "OPENAI_BASE_URL": self.openai.url,
            "ELEVENLABS_API_KEY": elevenlabs_stand.KEY,
            "ELEVENLABS_BASE_URL": self.elevenlabs.url,
        }

    async def close(self) -> None:
        await super().close()
        await self.openai.close()
        await self.elevenlabs.close()

    def guest(self, user_id: int, **about: str) -> Guest:
        return Guest(self.telegram, user_id, **about)

    def trap(self, path: str, mark: bytes, status: int, **rest: Any) -> Trap:
        trap = Trap(path, mark, status, **rest)
        self.ear.traps.append(trap)
        return trap

    def leaks(self) -> list[bytes]:
        """What reached a provider and holds the bot's token, or an address of Telegram's."""
        secret = (BOT_TOKEN.encode(), b"/file/bot", urlsplit(self.telegram.url).netloc.encode())
        return [each[:400] for each in self.ear.heard if any(one in each for one in secret)]


@asynccontextmanager
async def provider_stage(
    postgres: str, folder: Path, forge: Forge, plan: PlanName
) -> AsyncIterator[ProviderStage]:
    """A stage with a bot that serves a whole module of tests, each with a person of its own."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    db = await create_pool(dsn, size=5)
    stage = ProviderStage(db, dsn, folder, forge, plan=plan)
    await stage.open()
    try:
        if plan == "B":
            await stage.inngest.close()
        await stage.start_bot(ready=plan == "A")
        yield stage
    finally:
        await stage.close()
        await db.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
