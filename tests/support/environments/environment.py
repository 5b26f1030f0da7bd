"""The environment of an acceptance test: stand-ins for Telegram, Inngest and Replicate, and the bot as a process.

The stand-ins run in the test's own process, so they outlive a bot that is killed.
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

from sandbox.inngest.clock import Clock
from sandbox.inngest.runs import Run
from sandbox.inngest.server import InngestServer
from sandbox.telegram import TelegramServer
from sandbox.telegram.client import ControlApiClient
from sandbox.telegram.state.payments import Payment, new_charge_id
from sandbox.telegram.state.server_state import ServerState
from services.core.i18n import Texts
from storage.pool import Pool
from tests.support.fake_providers.replicate_server import TOKEN as REPLICATE_TOKEN
from tests.support.fake_providers.replicate_server import FakeReplicate
from tests.support.processes.bot_process import BotProcess, ProcessPool

BOT_TOKEN = "1000000001:acceptance-tests-only"
WAIT_SECONDS = 20.0
Message = dict[str, Any]
PlanName = Literal["A", "B"]
IMAGE_FUNCTION = "generate-text-to-image"
TEXTS = Texts()


def chat_text(key: str, n: int | None = None, /, *, language: str = "en", **params: str | int) -> str:
    """A text of the catalogues as users see it in the chat."""
    return unescape(re.sub(r"<[^>]+>", "", TEXTS.t(language, key, n, **params)))


async def wait_until(check: Callable[[], Awaitable[Any]], *, seconds: float = WAIT_SECONDS, what: str = "") -> Any:
    """Return what `check` returns once that is true. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        if value := await check():
            return value
        assert time.monotonic() < deadline, f"never came true: {what or check}"
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)


class SandboxTelegram:
    """The sandbox's Telegram on a port of its own. `api` acts for its users, as the chat page does."""

    api: ControlApiClient

    def __init__(self) -> None:
        self._server = TelegramServer()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        self._server.add_routes(app, "")
        await self._server.start()
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.api = ControlApiClient(self.url)

    async def close(self) -> None:
        await self.api.close()
        await self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def state(self) -> ServerState:
        """What the server knows, where a request for each of many users would take too long."""
        return self._server.state

    async def call_bot_api(self, method: str, *, token: str = BOT_TOKEN, **params: Any) -> Any:
        """Call a method as a bot. Returns its result."""
        async with aiohttp.request("POST", f"{self.url}/bot{token}/{method}", json=params) as response:
            answer = await response.json()
            assert answer["ok"], answer
            return answer["result"]

    async def add_fault(self, **fault: Any) -> None:
        await self.api.add_fault(**fault)

    async def api_calls(self, method: str | None = None) -> list[dict[str, Any]]:
        return await self.api.calls(method)

    def pay_without_update(self, user_id: int, stars: int, payload: str) -> str:
        """Make a payment that Telegram accepts and whose update never arrives. Returns its charge id."""
        (bot_id,) = self.state.bots
        payment = Payment(new_charge_id(), bot_id, user_id, stars, payload, int(time.time()))
        self.state.payments.save(payment)
        return payment.charge_id

    async def toasts(self) -> list[str]:
        """The texts that users saw as answers to their taps, oldest first."""
        return [call["params"].get("text", "") for call in await self.api_calls("answerCallbackQuery")]


@dataclass
class SandboxUser:
    """A user in a private chat with the bot."""

    telegram: SandboxTelegram
    id: int = 1001
    language_code: str = "en"
    first_name: str = "Ann"

    @property
    def _about(self) -> dict[str, str]:
        return {"first_name": self.first_name, "language_code": self.language_code}

    async def send_text(self, text: str) -> Any:
        return await self.send_message(text=text)

    async def send_message(self, **content: Any) -> Any:
        """A text, a `sticker`, or `extra` fields of Telegram's message."""
        return await self.telegram.api.post("message", user_id=self.id, **self._about, **content)

    async def upload(self, kind: str, name: str, content: bytes, **more: str) -> Any:
        return await self.telegram.api.upload(kind, content, name, user_id=self.id, **self._about, **more)

    async def tap(self, label: str, **where: Any) -> Any:
        return await self.telegram.api.tap(label, user_id=self.id, **where)

    async def chat(self, **wait: Any) -> dict[str, Any]:
        return await self.telegram.api.chat(self.id, **wait)

    async def messages(self) -> list[Message]:
        return [message for message in (await self.chat())["messages"] if not message["deleted"]]

    async def bot_messages(self) -> list[Message]:
        return _bot_messages(await self.chat())

    async def wait_until(self, find: Callable[[dict[str, Any]], Any], *, seconds: float = WAIT_SECONDS) -> Any:
        """Return what `find` finds in the chat, trying again whenever the chat changes. Raises AssertionError."""
        try:
            chat = await self.telegram.api.wait_for_chat(lambda chat: bool(find(chat)), self.id, seconds)
        except TimeoutError as error:
            raise AssertionError("the chat does not show it") from error
        return find(chat)

    async def wait_for_text(self, text: str, *, seconds: float = WAIT_SECONDS, after: int = 0) -> Message:
        """Return the bot's newest message that contains `text`, once there is one newer than `after`."""

        def find(chat: dict[str, Any]) -> Message | None:
            matching = [m for m in _bot_messages(chat) if text in message_text(m) and m["message_id"] > after]
            return matching[-1] if matching else None

        found: Message = await self._wait_for(find, repr(text), seconds)
        return found

    async def wait_for_button(self, label: str, *, seconds: float = WAIT_SECONDS, after: int = 0) -> Message:
        def find(chat: dict[str, Any]) -> Message | None:
            newer = [m for m in _bot_messages(chat) if m["message_id"] > after]
            matching = [m for m in newer if any(label in button for button in button_labels(m))]
            return matching[-1] if matching else None

        found: Message = await self._wait_for(find, f"the button {label!r}", seconds)
        return found

    async def _wait_for(self, find: Callable[[dict[str, Any]], Any], what: str, seconds: float) -> Any:
        try:
            return await self.wait_until(find, seconds=seconds)
        except AssertionError:
            chat = "\n".join(f"{message_text(m)} {button_labels(m)}" for m in await self.messages())
            raise AssertionError(f"{self.id} never sees {what}, but:\n{chat}") from None

    async def photo_messages(self) -> list[Message]:
        return [m for m in await self.bot_messages() if any(media["kind"] == "photo" for media in m["media"])]

    async def open_order_card(self, prompt: str = "a lighthouse") -> None:
        """From the menu to the order card, which is not confirmed yet."""
        await self.send_text("/start")
        await self.wait_for_button("Text to image")
        await self.tap("Text to image")
        await self.wait_for_text("What do you want to see?")
        await self.send_text(prompt)
        await self.wait_for_button("Create")

    def text(self, key: str, n: int | None = None, /, **params: str | int) -> str:
        """A text in this user's language."""
        return chat_text(key, n, language=self.language_code, **params)

    async def open_card_by_prompt(self, prompt: str = "a lighthouse", *, price: int = 1) -> Message:
        """Open the order card by sending a prompt, without the menu."""
        sent = await self.send_text(prompt)
        after = sent["message"]["message_id"]
        return await self.wait_for_button(self.text("button.confirm", price=price), after=after)

    async def order_by_prompt(self, prompt: str = "a lighthouse", *, price: int = 1) -> Message:
        """Order in the shortest way: a prompt, and one tap."""
        card = await self.open_card_by_prompt(prompt, price=price)
        await self.tap(self.text("button.confirm", price=price), message_id=card["message_id"])
        return card

    async def order_from_menu(self, prompt: str = "a lighthouse") -> None:
        """Order from the menu, and confirm the card."""
        await self.open_order_card(prompt)
        await self.tap("Create")


def _bot_messages(chat: dict[str, Any]) -> list[Message]:
    return [m for m in chat["messages"] if m["from"] == "bot" and not m["deleted"]]


def message_text(message: Message) -> str:
    return str(message.get("text") or message.get("caption") or "")


def button_labels(message: Message) -> list[str]:
    return [button["text"] for row in message.get("keyboard") or [] for button in row]


@dataclass
class Environment:
    db: Pool
    dsn: str
    folder: Path
    process_pool: ProcessPool
    telegram: SandboxTelegram = field(default_factory=SandboxTelegram)
    replicate: FakeReplicate = field(default_factory=lambda: FakeReplicate(seconds=0.0))
    inngest: InngestServer = field(
        default_factory=lambda: InngestServer(clock=Clock(retry_delays=(0.2, 0.5), speed=5.0))
    )
    bots: list[BotProcess] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    plan: PlanName | None = None
    """The plan of the one bot that serves all tests of a module."""
    startup_code: str = ""
    """Python that each bot runs before anything else."""
    _webhook_tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self) -> None:
        await self.telegram.start()
        await self.telegram.call_bot_api("getMe")  # the sandbox learns of a bot by its first call
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
        for task in self._webhook_tasks:
            task.cancel()
        await asyncio.gather(*self._webhook_tasks, return_exceptions=True)
        await self.telegram.close()
        await self.inngest.close()
        await self.replicate.close()

    def start_replicate_webhooks(self) -> None:
        """From now on, call each prediction's webhook when the prediction has ended."""
        if not self._webhook_tasks:
            self._webhook_tasks.append(asyncio.get_running_loop().create_task(self._deliver_webhooks()))

    async def _deliver_webhooks(self) -> None:
        """Call each ended prediction's webhook until it is accepted, as Replicate does."""
        called: set[str] = set()
        while True:
            await asyncio.sleep(0.05)
            for made in self.replicate.predictions:
                if made.webhook and made.id not in called and made.status() not in ("starting", "processing"):
                    with suppress(aiohttp.ClientError):
                        if await self.replicate.call_webhook(made.id) == 200:
                            called.add(made.id)

    async def start_bot(self, *, ready: bool = True, webhook: bool = False, **settings: str) -> BotProcess:
        name = f"bot-{len(self.bots) + 1}"
        bot = BotProcess(
            self.process_pool,
            self.folder,
            {**self.settings, **settings},
            name=name,
            startup_code=self.startup_code,
        )
        if webhook:
            self.start_replicate_webhooks()
            bot.settings |= {"TELEGRAM_MODE": "webhook", "PUBLIC_URL": bot.url}
        self.bots.append(bot)
        await bot.start()
        if ready:
            await self.wait_for_plan_a(bot)
        return bot

    async def wait_for_plan_a(self, bot: BotProcess) -> None:
        """Wait until orders go to Plan A, as they do once the bot's functions are registered."""
        await wait_until(lambda: self._inngest_is_ok(bot), what="Plan A is available")

    async def health(self, bot: BotProcess) -> dict[str, Any]:
        async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/health") as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def _inngest_is_ok(self, bot: BotProcess) -> bool:
        return bool((await self.health(bot))["inngest"] == "ok")

    def user(self, user_id: int = 1001, **about: str) -> SandboxUser:
        return SandboxUser(self.telegram, user_id, **about)

    def image_runs(self) -> list[Run]:
        """Inngest's runs of orders of an image. Scheduled tasks have runs as well, at their minutes of the hour."""
        return [run for run in self.inngest.engine.runs.values() if run.function.id.endswith(IMAGE_FUNCTION)]

    async def jobs(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.db.fetch("SELECT * FROM jobs ORDER BY created_at")]

    async def set_mode(self, mode: str | None, key: str = "mode") -> None:
        """Set the mode in the database, as another process does when an admin changes it."""
        await self.db.execute("DELETE FROM settings WHERE key = $1", key)
        if mode is not None:
            await self.db.execute("INSERT INTO settings (key, value) VALUES ($1, $2)", key, mode)

    async def wait_for_ended_jobs(self, count: int = 1, *, seconds: float = WAIT_SECONDS) -> list[dict[str, Any]]:
        """Return all jobs once `count` of them have ended."""

        async def ended() -> bool:
            return bool(await self.db.fetchval("SELECT count(ended_at) >= $1 FROM jobs", count))

        await wait_until(ended, seconds=seconds, what=f"{count} jobs have ended")
        return await self.jobs()
