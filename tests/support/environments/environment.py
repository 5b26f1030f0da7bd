"""The whole stage of an acceptance test: Telegram, Inngest and Replicate as stands, the bot as a process.

The stands live in the test's own process, so they outlive a bot that is killed.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiohttp import web

from sandbox.inngest.engine.execution import Pace
from sandbox.inngest.server import InngestStand
from sandbox.telegram import create_telegram
from sandbox.telegram.state.payments import Payment, new_charge_id
from services.core.i18n import Texts
from storage.pool import Pool
from tests.support.fake_providers.replicate_server import TOKEN as REPLICATE_TOKEN
from tests.support.fake_providers.replicate_server import ReplicateStand
from tests.support.processes.bot_process import BotProcess, Forge

BOT_TOKEN = "1000000001:acceptance-tests-only"
WAIT_SECONDS = 20.0
Message = dict[str, Any]
PlanName = Literal["A", "B"]
TEXTS = Texts()


def said(key: str, n: int | None = None, /, *, language: str = "en", **params: str | int) -> str:
    """A text of the catalogues as it reads in the chat."""
    return unescape(re.sub(r"<[^>]+>", "", TEXTS.t(language, key, n, **params)))


async def until(check: Callable[[], Awaitable[Any]], *, seconds: float = WAIT_SECONDS, what: str = "") -> Any:
    """What `check` gives once that is true. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        if value := await check():
            return value
        assert time.monotonic() < deadline, f"never came true: {what or check}"
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)


class TelegramStand:
    """The sandbox's Telegram on a port of its own, driven by its /sim routes as the chat page does."""

    def __init__(self) -> None:
        self._stand = create_telegram()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        self._stand.add_routes(app, "")
        await self._stand.start()
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(self.url)

    async def close(self) -> None:
        await self._session.close()
        await self._stand.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def call(self, method: str, path: str, json: Any = None, /, **params: Any) -> Any:
        async with self._session.request(method, path, json=json, params=params) as response:
            answer = await response.json()
            assert response.status < 400, answer
            return answer

    async def upload(self, kind: str, name: str, content: bytes, **fields: str) -> Any:
        form = aiohttp.FormData({"kind": kind, **fields})
        form.add_field("file", content, filename=name)
        async with self._session.post("/sim/message", data=form) as response:
            answer = await response.json()
            assert response.status < 400, answer
            return answer

    async def fault(self, **fault: Any) -> None:
        await self.call("POST", "/sim/fault", fault)

    async def calls(self, method: str = "") -> list[dict[str, Any]]:
        answer = await self.call("GET", "/sim/outbox", **({"method": method} if method else {}))
        calls: list[dict[str, Any]] = answer["calls"]
        return calls

    def pay_without_update(self, user_id: int, stars: int, payload: str) -> str:
        """A payment that Telegram has taken and whose update never comes; its charge id."""
        world = self._stand.world
        (bot_id,) = world.bots
        payment = Payment(new_charge_id(), bot_id, user_id, stars, payload, int(time.time()))
        world.payments.save(payment)
        return payment.charge_id

    async def toasts(self) -> list[str]:
        """What people were told by an answer to a tap, oldest first."""
        return [call["params"].get("text", "") for call in await self.calls("answerCallbackQuery")]


@dataclass
class Person:
    """Somebody in a private chat with the bot."""

    telegram: TelegramStand
    id: int = 1001
    language_code: str = "en"
    first_name: str = "Ann"

    async def say(self, text: str) -> Any:
        return await self.telegram.call(
            "POST",
            "/sim/message",
            {
                "text": text,
                "user_id": self.id,
                "first_name": self.first_name,
                "language_code": self.language_code,
            },
        )

    async def send(self, **content: Any) -> Any:
        """Something other than text: `sticker`, or further fields of Telegram's message."""
        about = {"first_name": self.first_name, "language_code": self.language_code}
        return await self.telegram.call("POST", "/sim/message", {"user_id": self.id, **about, **content})

    async def tap(self, label: str, **where: Any) -> Any:
        return await self.telegram.call("POST", "/sim/callback", {"label": label, "user_id": self.id, **where})

    async def chat(self, **wait: Any) -> dict[str, Any]:
        chat: dict[str, Any] = await self.telegram.call("GET", f"/sim/chat/{self.id}", **wait)
        return chat

    async def messages(self) -> list[Message]:
        return [message for message in (await self.chat())["messages"] if not message["deleted"]]

    async def from_bot(self) -> list[Message]:
        return _from_bot(await self.chat())

    async def until(self, look: Callable[[dict[str, Any]], Any], *, seconds: float = WAIT_SECONDS) -> Any:
        """What `look` finds in the chat, asked again whenever something changes there. Raises AssertionError."""
        deadline = time.monotonic() + seconds
        chat = await self.chat()
        while not (found := look(chat)):
            left = deadline - time.monotonic()
            assert left > 0, "nothing of that in the chat"
            chat = await self.chat(after=chat["version"], wait=left)
        return found

    async def sees(self, text: str, *, seconds: float = WAIT_SECONDS, after: int = 0) -> Message:
        """The newest message of the bot's that holds `text`, once there is one newer than `after`."""

        def look(chat: dict[str, Any]) -> Message | None:
            fitting = [m for m in _from_bot(chat) if text in words(m) and m["message_id"] > after]
            return fitting[-1] if fitting else None

        found: Message = await self._finds(look, repr(text), seconds)
        return found

    async def can_tap(self, label: str, *, seconds: float = WAIT_SECONDS, after: int = 0) -> Message:
        def look(chat: dict[str, Any]) -> Message | None:
            newer = [m for m in _from_bot(chat) if m["message_id"] > after]
            fitting = [m for m in newer if any(label in button for button in labels(m))]
            return fitting[-1] if fitting else None

        found: Message = await self._finds(look, f"the button {label!r}", seconds)
        return found

    async def _finds(self, look: Callable[[dict[str, Any]], Any], what: str, seconds: float) -> Any:
        try:
            return await self.until(look, seconds=seconds)
        except AssertionError:
            chat = "\n".join(f"{words(m)} {labels(m)}" for m in await self.messages())
            raise AssertionError(f"{self.id} never sees {what}, but:\n{chat}") from None

    async def photos(self) -> list[Message]:
        return [m for m in await self.from_bot() if any(media["kind"] == "photo" for media in m["media"])]

    async def open_card(self, prompt: str = "a lighthouse") -> None:
        """From the menu to the card that waits for its confirmation."""
        await self.say("/start")
        await self.can_tap("Text to image")
        await self.tap("Text to image")
        await self.sees("What do you want to see?")
        await self.say(prompt)
        await self.can_tap("Create")

    def said(self, key: str, n: int | None = None, /, **params: str | int) -> str:
        """A text as this person reads it."""
        return said(key, n, language=self.language_code, **params)

    async def write_card(self, prompt: str = "a lighthouse", *, price: int = 1) -> Message:
        """Words out of the blue open the card."""
        sent = await self.say(prompt)
        after = sent["message"]["message_id"]
        return await self.can_tap(self.said("button.confirm", price=price), after=after)

    async def quick_order(self, prompt: str = "a lighthouse", *, price: int = 1) -> Message:
        """The shortest way to a confirmed card: words, and one tap."""
        card = await self.write_card(prompt, price=price)
        await self.tap(self.said("button.confirm", price=price), message_id=card["message_id"])
        return card

    async def order(self, prompt: str = "a lighthouse") -> None:
        """From the menu to the confirmed card."""
        await self.open_card(prompt)
        await self.tap("Create")


def _from_bot(chat: dict[str, Any]) -> list[Message]:
    return [m for m in chat["messages"] if m["from"] == "bot" and not m["deleted"]]


def words(message: Message) -> str:
    return str(message.get("text") or message.get("caption") or "")


def labels(message: Message) -> list[str]:
    return [button["text"] for row in message.get("keyboard") or [] for button in row]


@dataclass
class Stage:
    db: Pool
    dsn: str
    folder: Path
    forge: Forge
    telegram: TelegramStand = field(default_factory=TelegramStand)
    replicate: ReplicateStand = field(default_factory=lambda: ReplicateStand(seconds=0.0))
    inngest: InngestStand = field(
        default_factory=lambda: InngestStand(pace=Pace(retry_delays=(0.2, 0.5), speed=5.0))
    )
    bots: list[BotProcess] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    first: str = ""
    """Python that each bot runs before anything else."""
    _calling_back: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self) -> None:
        await self.telegram.start()
        await self.telegram.call("GET", f"/bot{BOT_TOKEN}/getMe")  # the stand knows a bot by its first call
        await self.replicate.start()
        await self.inngest.start()
        self.settings = {
            "BOT_TOKEN": BOT_TOKEN,
            "TELEGRAM_API_URL": self.telegram.url,
            "DATABASE_URL": self.dsn,
            "REPLICATE_API_TOKEN": REPLICATE_TOKEN,
            "REPLICATE_BASE_URL": self.replicate.url,
            "INNGEST_BASE_URL": self.inngest.url,
            "JOB_LEASE_SECONDS": "1",
            "PLAN_A_START_TIMEOUT": "5",
            "WELCOME_CREDITS": "100",
            "DATA_DIR": str(self.folder / "data"),
        }

    async def close(self) -> None:
        for bot in self.bots:
            await bot.kill()
        for task in self._calling_back:
            task.cancel()
        await asyncio.gather(*self._calling_back, return_exceptions=True)
        await self.telegram.close()
        await self.inngest.close()
        await self.replicate.close()

    def let_replicate_call_back(self) -> None:
        """From now on every prediction's webhook is called when it has ended."""
        if not self._calling_back:
            self._calling_back.append(asyncio.get_running_loop().create_task(self._call_back()))

    async def _call_back(self) -> None:
        """Call each ended prediction's webhook until it is taken, as Replicate does."""
        called: set[str] = set()
        while True:
            await asyncio.sleep(0.05)
            for made in self.replicate.predictions:
                if made.webhook and made.id not in called and made.status() not in ("starting", "processing"):
                    with suppress(aiohttp.ClientError):
                        if await self.replicate.deliver(made.id) == 200:
                            called.add(made.id)

    async def start_bot(self, *, ready: bool = True, webhook: bool = False, **settings: str) -> BotProcess:
        name = f"bot-{len(self.bots) + 1}"
        bot = BotProcess(self.forge, self.folder, {**self.settings, **settings}, name=name, first=self.first)
        if webhook:
            self.let_replicate_call_back()
            bot.settings |= {"TELEGRAM_MODE": "webhook", "PUBLIC_URL": bot.url}
        self.bots.append(bot)
        await bot.start()
        if ready:
            await self.plan_a_is_open(bot)
        return bot

    async def plan_a_is_open(self, bot: BotProcess) -> None:
        """Wait until orders go to Plan A, as they do once the bot's functions are registered."""
        await until(lambda: self._inngest_ok(bot), what="plan A is open")

    async def health(self, bot: BotProcess) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/health") as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def _inngest_ok(self, bot: BotProcess) -> bool:
        return bool((await self.health(bot))["inngest"] == "ok")

    def person(self, user_id: int = 1001, **about: str) -> Person:
        return Person(self.telegram, user_id, **about)

    async def jobs(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.db.fetch("SELECT * FROM jobs ORDER BY created_at")]

    async def set_mode(self, mode: str | None, key: str = "mode") -> None:
        """As an admin's change of mode in another process would."""
        await self.db.execute("DELETE FROM settings WHERE key = $1", key)
        if mode is not None:
            await self.db.execute("INSERT INTO settings (key, value) VALUES ($1, $2)", key, mode)

    async def ended_jobs(self, count: int = 1, *, seconds: float = WAIT_SECONDS) -> list[dict[str, Any]]:
        """All jobs, once `count` of them have ended."""

        async def ended() -> bool:
            return bool(await self.db.fetchval("SELECT count(ended_at) >= $1 FROM jobs", count))

        await until(ended, seconds=seconds, what=f"{count} jobs have ended")
        return await self.jobs()
