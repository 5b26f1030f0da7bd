"""The users who write to the bots. The sandbox makes their updates, as Telegram would; the load posts them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.environment import BenchEnvironment, MeasuredBot
from bench.update_load import Update
from sandbox.telegram.client import ControlApiClient

_CONCURRENCY = 8
_BATCH = 100
_FIRST_ID = 5001
_WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class BenchUsers:
    """The users, by `ids`. Each is in a private chat with both bots."""

    ids: Sequence[int]
    _telegram: str
    _api: ControlApiClient

    async def send_text(self, bot: MeasuredBot, text: str) -> list[Update]:
        """The updates of all users sending this text."""
        return await self._simulate(bot, "message", lambda user_id: {"user_id": user_id, "text": text})

    async def tap(self, bot: MeasuredBot, **button: str) -> list[Update]:
        """The updates of all users tapping the newest button with this `label` or `data`."""
        return await self._simulate(bot, "callback", lambda user_id: {"user_id": user_id, **button})

    async def calls(self) -> int:
        """How many calls the bots have made."""
        return int((await self._api.get("outbox", limit=1))["seq"])

    async def refusals(self, since: int) -> list[str]:
        """What the sandbox has refused since then."""
        calls = await self._api.calls(since=since)
        return [f"{call['method']}: {call['answer']}" for call in calls if call["status"] != 200]

    async def open_chats(self, bot: MeasuredBot) -> None:
        """Open all users' chats with the bot, and let the sandbox keep the updates for us."""
        await self._call(bot, "getMe")
        await self._call(bot, "deleteWebhook")
        for user in self.ids:
            about = {"id": user, "first_name": f"User {user}", "username": f"user_{user}"}
            await self._api.post("people", **about, language_code="en", bot=bot.id, started=True)

    async def wait_for_webhook(self, bot: MeasuredBot) -> None:
        """Wait until the bot has set its webhook."""
        async with asyncio.timeout(_WAIT_SECONDS):
            while not (await self._call(bot, "getWebhookInfo"))["url"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _simulate(
        self, bot: MeasuredBot, action: str, body: Callable[[int], dict[str, Any]]
    ) -> list[Update]:
        async def one(user_id: int) -> None:
            await self._api.post(action, bot=bot.id, **body(user_id))

        await _run_limited([lambda user_id=user_id: one(user_id) for user_id in self.ids])  # type: ignore[misc]
        return await self._updates(bot)

    async def _updates(self, bot: MeasuredBot) -> list[Update]:
        """Take the updates that wait for the bot in the sandbox."""
        found: list[Update] = []
        while True:
            offset = found[-1]["update_id"] + 1 if found else 0
            batch = await self._call(bot, "getUpdates", offset=offset, limit=_BATCH, timeout=0)
            if not batch:
                return found
            found += batch

    async def _call(self, bot: MeasuredBot, method: str, **params: Any) -> Any:
        """Call the Bot API as the bot. Returns the result."""
        async with aiohttp.request("POST", f"{self._telegram}/bot{bot.token}/{method}", json=params) as response:
            answer = await response.json()
            if response.status >= 400:
                raise RuntimeError(f"{method} {params}: {answer}")
            return answer["result"]


@asynccontextmanager
async def open_users(environment: BenchEnvironment, count: int) -> AsyncIterator[BenchUsers]:
    async with ControlApiClient(environment.telegram) as api:
        users = BenchUsers(range(_FIRST_ID, _FIRST_ID + count), environment.telegram, api)
        await users.wait_for_webhook(environment.diptych)
        for bot in (environment.diptych, environment.echo_bot):
            await users.open_chats(bot)
        yield users


async def _run_limited(actions: Sequence[Callable[[], Awaitable[None]]]) -> None:
    waiting = iter(actions)

    async def work() -> None:
        for action in waiting:
            await action()

    async with asyncio.TaskGroup() as group:
        for _ in range(_CONCURRENCY):
            group.create_task(work())
