"""`/health`: whether orders can be served now, and each part on its own; `/health/live`: the process alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from aiogram.exceptions import TelegramAPIError
from aiohttp import web

from providers.protocols import ProviderError
from services.generation.registry import SERVICES
from services.jobs.routing import Plans
from services.messaging.app_context import Studio
from storage.pool import DATABASE_AWAY

_CHECK_SECONDS = 3.0
_KEEP_SECONDS = 5.0
_KEEP_PROVIDER_SECONDS = 30.0

Check = Callable[[], Awaitable[str]]
"""Gives `ok`, or says what is wrong."""


class Health:
    """The parts are asked side by side, each with a deadline, and an answer is kept for some seconds."""

    def __init__(self, studio: Studio, plans: Plans, plan_a_state: Callable[[], str]) -> None:
        self._studio = studio
        self._plans = plans
        self._plan_a_state = plan_a_state
        self._database = _Kept(self._ask_database, 1.0)
        self._telegram = _Kept(self._ask_telegram, _KEEP_SECONDS)
        self._providers = _Kept(self._ask_provider, _KEEP_PROVIDER_SECONDS)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/health", self._health)
        app.router.add_get("/health/live", self._live)

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def report(self) -> dict[str, Any]:
        """What `/health` answers: `status` is `ok` where orders can be served."""
        database, telegram, provider = await asyncio.gather(
            self._database.ask(), self._telegram.ask(), self._providers.ask()
        )
        inngest = self._plan_a_state()
        modes = {service: self._plans.mode(service) for service in SERVICES}
        some_plan = self._plans.plan_a.healthy or any(mode != "a" for mode in modes.values())
        serving = (database, telegram, provider) == ("ok", "ok", "ok") and some_plan
        return {
            "status": "ok" if serving else "not serving",
            "database": database,
            "telegram": telegram,
            "inngest": inngest,
            "providers": {
                "media": {"name": self._studio.providers.media.name, "state": provider},
                "voices": {"name": self._studio.providers.voices.name},
                "words": {"name": self._studio.providers.text.name},
                "moderation": {"name": self._studio.providers.moderation.name},
            },
            "plan": {service: self._plans.choose(service) for service in modes},
        }

    async def _health(self, request: web.Request) -> web.Response:
        body = await self.report()
        return web.json_response(body, status=200 if body["status"] == "ok" else 503)

    async def _ask_database(self) -> str:
        try:
            await self._studio.db.fetchval("SELECT 1")
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            return f"away: {type(error).__name__}"
        return "ok"

    async def _ask_telegram(self) -> str:
        try:
            for bot in self._studio.bots.values():
                await bot.get_me(request_timeout=int(_CHECK_SECONDS))
        except TelegramAPIError as error:
            return f"away: {type(error).__name__}"
        return "ok"

    async def _ask_provider(self) -> str:
        try:
            await self._studio.providers.media.check()
        except ProviderError as error:
            return f"away: {error.kind}"
        return "ok"


class _Kept:
    def __init__(self, check: Check, seconds: float) -> None:
        self._check = check
        self._seconds = seconds
        self._answer = ""
        self._at = float("-inf")
        self._asking = asyncio.Lock()

    async def ask(self) -> str:
        async with self._asking:
            if time.monotonic() - self._at >= self._seconds:
                try:
                    self._answer = await asyncio.wait_for(self._check(), _CHECK_SECONDS)
                except TimeoutError:
                    self._answer = f"away: no answer within {_CHECK_SECONDS:.0f} s"
                self._at = time.monotonic()
            return self._answer
