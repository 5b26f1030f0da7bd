"""An environment with fake servers for all providers: Replicate, OpenAI and ElevenLabs. All requests are recorded."""

import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from aiohttp import web

from sandbox.providers.video import render_video
from services.generation.catalogue import MODELS
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import BOT_TOKEN, Environment, button_labels, message_text
from tests.support.environments.offline import (
    WELCOME_CREDITS,
    ConversationUser,
    make_photo,
    wait_for_latest_job,
)
from tests.support.fake_providers import elevenlabs_server, openai_server
from tests.support.fake_providers.elevenlabs_server import FakeElevenLabs
from tests.support.fake_providers.fake_provider import FakeProvider, HttpFault, drop_connection
from tests.support.fake_providers.openai_server import FakeOpenAI
from tests.support.fake_providers.replicate_server import FakePrediction, FakeReplicate
from tests.support.test_data.audio import beep

_VIDEO_MODELS = {
    m.model for name in ("text_to_video", "image_to_video", "lip_sync") for m in MODELS[name].values()
}
_SINGLE_OUTPUT_MODELS = {m.model for m in MODELS["neuro_image_v2"].values()} | _VIDEO_MODELS


@cache
def sample_video() -> bytes:
    """What every video model makes."""
    return render_video("", 1, (320, 320), seconds=0.5)


@dataclass
class InjectedFault:
    """What a provider answers instead of its result, to requests whose body contains `marker`."""

    path: str
    marker: bytes
    status: int
    """0: the work is done, and its response is lost on the way."""
    code: str = ""
    message: str = "from the fake provider"
    retry_after: float | None = None
    times: int = 1
    """0: always."""
    requested_at: list[float] = field(default_factory=list)
    """When a request to `path` contained the marker, whether it was answered or not."""

    @property
    def request_count(self) -> int:
        return len(self.requested_at)

    def should_trigger(self) -> bool:
        self.requested_at.append(time.monotonic())
        return self.times == 0 or self.request_count <= self.times


@dataclass
class RequestRecorder:
    """Every request that reaches a provider: its first line, its headers, and its body with all files."""

    requests: list[bytes] = field(default_factory=list)
    faults: list[InjectedFault] = field(default_factory=list)

    async def record(self, request: web.Request) -> InjectedFault | None:
        """Record a request. Returns the fault that it triggers, if any."""
        head = [f"{request.method} {request.path_qs}", *(f"{name}: {it}" for name, it in request.headers.items())]
        body = await _body(request)
        self.requests.append("\n".join(head).encode() + b"\n\n" + body)
        for fault in self.faults:
            if fault.path in request.path and fault.marker in body:
                return fault if fault.should_trigger() else None
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


class RecordingProvider(FakeProvider):
    """A provider whose requests are recorded, and may trigger a fault."""

    recorder: RequestRecorder

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        fault = await self.recorder.record(request)
        if fault is not None and fault.status:
            return self._fault_response(HttpFault(fault.status, fault.code, fault.message, fault.retry_after))
        response = await super()._guard(request, handler)
        return response if fault is None else drop_connection(request)


class RecordingOpenAI(RecordingProvider, FakeOpenAI):
    def __init__(self, recorder: RequestRecorder) -> None:
        super().__init__()
        self.recorder = recorder


class RecordingElevenLabs(RecordingProvider, FakeElevenLabs):
    def __init__(self, recorder: RequestRecorder) -> None:
        super().__init__()
        self.recorder = recorder


class RecordingReplicate(RecordingProvider, FakeReplicate):
    """Video models return one video, as Replicate's do: a URL, not a list of them."""

    def __init__(self, recorder: RequestRecorder) -> None:
        super().__init__(seconds=0.0)
        self.recorder = recorder

    def _output_of(self, made: FakePrediction) -> Any:
        return (
            f"{self.url}/output/{made.id}/one" if made.model in _SINGLE_OUTPUT_MODELS else super()._output_of(made)
        )

    async def _output(self, request: web.Request) -> web.Response:
        made = self.find(request)
        if made is not None and made.model in _VIDEO_MODELS:
            return web.Response(body=sample_video(), content_type="video/mp4")
        return await super()._output(request)

    def input_file_bytes(self, value: str) -> bytes:
        """The bytes of a file input, whether it is a data: URL or was uploaded before."""
        if value.startswith("data:"):
            return base64.b64decode(value.partition(",")[2])
        assert value.startswith(f"{self.url}/v1/files/"), value
        return self.files[value.rpartition("/")[2]][2]


@dataclass
class ProviderEnvironment(Environment):
    """Each user starts with 2000 credits; each provider has its key."""

    recorder: RequestRecorder = field(default_factory=RequestRecorder)

    def __post_init__(self) -> None:
        self.replicate: RecordingReplicate = RecordingReplicate(self.recorder)
        self.openai = RecordingOpenAI(self.recorder)
        self.elevenlabs = RecordingElevenLabs(self.recorder)

    async def open(self) -> None:
        await super().open()
        await self.openai.start()
        await self.elevenlabs.start()
        self.settings |= {
            "WELCOME_CREDITS": str(WELCOME_CREDITS),
            "OPENAI_API_KEY": openai_server.KEY,
            "OPENAI_BASE_URL": self.openai.url,
            "ELEVENLABS_API_KEY": elevenlabs_server.KEY,
            "ELEVENLABS_BASE_URL": self.elevenlabs.url,
        }

    async def close(self) -> None:
        await super().close()
        await self.openai.close()
        await self.elevenlabs.close()

    def conversation_user(self, user_id: int, **about: str) -> ConversationUser:
        return ConversationUser(self.telegram, user_id, **about)

    def inject_fault(self, path: str, marker: bytes, status: int, **rest: Any) -> InjectedFault:
        fault = InjectedFault(path, marker, status, **rest)
        self.recorder.faults.append(fault)
        return fault

    def leaked_requests(self) -> list[bytes]:
        """Requests to a provider that contain the bot's token, or a URL of Telegram's."""
        secret = (BOT_TOKEN.encode(), b"/file/bot", urlsplit(self.telegram.url).netloc.encode())
        return [each[:400] for each in self.recorder.requests if any(part in each for part in secret)]


RAW_PROVIDER_TEXTS = ("from the fake provider", "Traceback", "OpenAI", "ElevenLabs", "invalid_api_key")


async def ledger_kinds(environment: ProviderEnvironment, job_id: UUID) -> list[str]:
    rows = await environment.db.fetch("SELECT kind FROM ledger_transactions WHERE job_id = $1 ORDER BY id", job_id)
    return [row["kind"] for row in rows]


async def assert_paid_once(
    environment: ProviderEnvironment, user: ConversationUser, service: str, price: int, spent: int = 0
) -> dict[str, Any]:
    """The newest order is delivered, charged once and not made offline. Returns the order."""
    job = await wait_for_latest_job(environment, user.id)
    assert (job["service"], job["state"], job["price"], job["plan"]) == (
        service,
        "succeeded",
        price,
        environment.plan,
    )
    assert await ledger_kinds(environment, job["id"]) == ["hold", "capture"]
    assert await get_balance(environment.db, user.id) == Balance(WELCOME_CREDITS - spent - price, 0)
    assert (await check_ledger(environment.db)).is_consistent
    results = [
        m
        for m in await user.bot_messages()
        if f"−{price} ⭐ · balance {WELCOME_CREDITS - spent - price} ⭐" in message_text(m)
    ]
    assert len(results) == 1, "delivered once"
    assert "offline" not in message_text(results[0])
    return job


async def choose_voice(user: ConversationUser, name: str) -> None:
    await user.tap_and_wait("🗣")
    await user.tap_and_wait(
        next(label for label in button_labels(await user.last_message()) if label.strip("✓🎙 ") == name)
    )


async def order_voice_clone(user: ConversationUser, name: str, note: bytes) -> None:
    await user.open_service("🎙 Your voice")
    await user.upload_and_wait("voice", "me.ogg", note)
    await user.send_text_and_wait(name)


def voices_named(environment: ProviderEnvironment, name: str) -> list[str]:
    return [
        voice_id for voice_id, voice in environment.elevenlabs.voices.items() if voice["name"].startswith(name)
    ]


async def order_vision(user: ConversationUser, marker: str) -> bytes:
    image = make_photo((sum(marker.encode()) % 256, user.id % 256, 90), size=(64, 48))
    await user.open_service("Image to words")
    await user.upload_and_wait("photo", "a.png", image)
    return base64.b64encode(image)


async def order_speech(user: ConversationUser, marker: str, voice: str = "") -> bytes:
    await user.open_service("Text to speech")
    await user.send_text_and_wait(f"{marker} is what {user.id} says")
    if voice:
        await choose_voice(user, voice)
    return f"is what {user.id} says".encode()


async def order_openai_speech(user: ConversationUser, marker: str) -> bytes:
    return await order_speech(user, marker, "Nova")


async def order_voice_avatar(user: ConversationUser, marker: str) -> bytes:
    await order_voice_clone(user, f"{marker} {user.id}", beep(1.0))
    return f"{marker} {user.id}".encode()


@dataclass(frozen=True)
class ProviderCall:
    """A request to a provider, and the order that causes it."""

    path: str
    service: str
    price: int
    order: Callable[[ConversationUser, str], Awaitable[bytes]]


PROVIDER_CALLS = {
    "vision": ProviderCall("/chat/completions", "image_to_prompt", 2, order_vision),
    "moderation": ProviderCall("/moderations", "speech", 8, order_speech),
    "openai speech": ProviderCall("/audio/speech", "speech", 8, order_openai_speech),
    "elevenlabs speech": ProviderCall("/text-to-speech/", "speech", 8, order_speech),
    "clone": ProviderCall("/voices/add", "voice_avatar", 56, order_voice_avatar),
}


async def assert_order_fails(
    environment: ProviderEnvironment, user: ConversationUser, price: int, key: str, spent: int = 0
) -> None:
    """Confirm the card: the order fails, the user reads why in our words, and it costs nothing."""
    card = await user.wait_for_button(f"Create · {price} ⭐")
    await user.tap(f"Create · {price} ⭐", message_id=card["message_id"])
    message = await user.wait_for_text(user.text(key), after=card["message_id"])
    assert user.text("failure.returned", price) in message_text(message)
    job = await wait_for_latest_job(environment, user.id)
    assert (job["state"], job["failure"], job["plan"]) == ("failed", key, environment.plan)
    assert await ledger_kinds(environment, job["id"]) == ["hold", "release"]
    assert await get_balance(environment.db, user.id) == Balance(WELCOME_CREDITS - spent, 0)
    chat = "\n".join(message_text(message) for message in await user.bot_messages())
    assert not [raw for raw in RAW_PROVIDER_TEXTS if raw in chat], "never a provider's raw text"
