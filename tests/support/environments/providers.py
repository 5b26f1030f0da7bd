"""A stage where every provider is real to the bot: Replicate, OpenAI and ElevenLabs as stands, listened to."""

import base64
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
from aiohttp import web

from providers.offline.video.camera import shoot
from services.generation.catalogue import MODELS
from storage.money.ledger import Balance, check_ledger, get_balance
from storage.pool import create_pool
from tests.support.environments.environment import BOT_TOKEN, PlanName, Stage, labels, words
from tests.support.environments.offline import CALM, STARS, Guest, ended_job_of, photo
from tests.support.fake_providers import elevenlabs_server as elevenlabs_stand
from tests.support.fake_providers import openai_server as openai_stand
from tests.support.fake_providers.replicate_server import ReplicateStand, StandPrediction
from tests.support.processes.bot_process import Forge
from tests.support.test_data.audio import beep

_FILMS = {m.model for name in ("text_to_video", "image_to_video", "lip_sync") for m in MODELS[name].values()}
_ONE = {m.model for m in MODELS["neuro_image_v2"].values()} | _FILMS


@cache
def film() -> bytes:
    """What every model of films makes."""
    return shoot("", 1, aspect="1:1", seconds=0.5)


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
    moments: list[float] = field(default_factory=list)
    """When a question to `path` had the mark, whether it was answered or not."""

    @property
    def asked(self) -> int:
        return len(self.moments)

    def springs(self) -> bool:
        self.moments.append(time.monotonic())
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
            return web.Response(body=film(), content_type="video/mp4")
        return await super()._output(request)

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
        self.replicate: HeardReplicate = HeardReplicate(self.ear)
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
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
    dsn = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    db = await create_pool(dsn, size=5)
    stage = ProviderStage(db, dsn, folder, forge, plan=plan)
    await stage.open()
    stage.settings |= CALM
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


RAW = ("said by the stand", "Traceback", "OpenAI", "ElevenLabs", "invalid_api_key")


async def moves(studio: ProviderStage, job_id: UUID) -> list[str]:
    rows = await studio.db.fetch("SELECT kind FROM ledger_transactions WHERE job_id = $1 ORDER BY id", job_id)
    return [row["kind"] for row in rows]


async def paid_once(
    studio: ProviderStage, guest: Guest, service: str, price: int, spent: int = 0
) -> dict[str, Any]:
    """The newest order is delivered, charged once and no offline work; gives the order."""
    job = await ended_job_of(studio, guest.id)
    assert (job["service"], job["state"], job["price"], job["plan"]) == (service, "succeeded", price, studio.plan)
    assert await moves(studio, job["id"]) == ["hold", "capture"]
    assert await get_balance(studio.db, guest.id) == Balance(STARS - spent - price, 0)
    assert (await check_ledger(studio.db)).right
    results = [
        m for m in await guest.from_bot() if f"−{price} ⭐ · balance {STARS - spent - price} ⭐" in words(m)
    ]
    assert len(results) == 1, "delivered once"
    assert "offline" not in words(results[0])
    return job


async def choose_voice(guest: Guest, name: str) -> None:
    await guest.taps("🗣")
    await guest.taps(next(label for label in labels(await guest.last()) if label.strip("✓🎙 ") == name))


async def clone(guest: Guest, name: str, note: bytes) -> None:
    await guest.begin("🎙 Your voice")
    await guest.sends("voice", "me.ogg", note)
    await guest.says(name)


def voices_named(studio: ProviderStage, name: str) -> list[str]:
    return [voice_id for voice_id, voice in studio.elevenlabs.voices.items() if voice["name"].startswith(name)]


async def vision(guest: Guest, mark: str) -> bytes:
    picture = photo((sum(mark.encode()) % 256, guest.id % 256, 90), size=(64, 48))
    await guest.begin("Image to words")
    await guest.sends("photo", "a.png", picture)
    return base64.b64encode(picture)


async def speech(guest: Guest, mark: str, voice: str = "") -> bytes:
    await guest.begin("Text to speech")
    await guest.says(f"{mark} is what {guest.id} says")
    if voice:
        await choose_voice(guest, voice)
    return f"is what {guest.id} says".encode()


async def second_speech(guest: Guest, mark: str) -> bytes:
    return await speech(guest, mark, "Nova")


async def avatar(guest: Guest, mark: str) -> bytes:
    await clone(guest, f"{mark} {guest.id}", beep(1.0))
    return f"{mark} {guest.id}".encode()


@dataclass(frozen=True)
class Asked:
    """A question to a provider, and the order that leads to it."""

    path: str
    service: str
    price: int
    order: Callable[[Guest, str], Awaitable[bytes]]


QUESTIONS = {
    "vision": Asked("/chat/completions", "image_to_prompt", 2, vision),
    "moderation": Asked("/moderations", "speech", 8, speech),
    "openai speech": Asked("/audio/speech", "speech", 8, second_speech),
    "elevenlabs speech": Asked("/text-to-speech/", "speech", 8, speech),
    "clone": Asked("/voices/add", "voice_avatar", 56, avatar),
}


async def fails(studio: ProviderStage, guest: Guest, price: int, key: str, spent: int = 0) -> None:
    """Confirm the card; the order fails, which is told in words of ours, and costs nothing."""
    card = await guest.can_tap(f"Create · {price} ⭐")
    await guest.tap(f"Create · {price} ⭐", message_id=card["message_id"])
    said = await guest.sees(guest.said(key), after=card["message_id"])
    assert guest.said("failure.returned", price) in words(said)
    job = await ended_job_of(studio, guest.id)
    assert (job["state"], job["failure"], job["plan"]) == ("failed", key, studio.plan)
    assert await moves(studio, job["id"]) == ["hold", "release"]
    assert await get_balance(studio.db, guest.id) == Balance(STARS - spent, 0)
    chat = "\n".join(words(message) for message in await guest.from_bot())
    assert not [raw for raw in RAW if raw in chat], "never a provider's raw text"
