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
from services.jobs.routing import PlanRouter
from services.messaging.app_context import AppContext
from storage.pool import DATABASE_UNAVAILABLE

_CHECK_SECONDS = 3.0
_CACHE_SECONDS = 5.0
_PROVIDER_CACHE_SECONDS = 30.0

Check = Callable[[], Awaitable[str]]
"""Gives `ok`, or says what is wrong."""


class Health:
    """The parts are asked side by side, each with a deadline, and an answer is kept for some seconds."""

    def __init__(self, app_context: AppContext, plans: PlanRouter, plan_a_state: Callable[[], str]) -> None:
        self._app_context = app_context
        self._plans = plans
        self._plan_a_state = plan_a_state
        self._database = _CachedCheck(self._check_database, 1.0)
        self._telegram = _CachedCheck(self._check_telegram, _CACHE_SECONDS)
        self._provider = _CachedCheck(self._check_provider, _PROVIDER_CACHE_SECONDS)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/health", self._health)
        app.router.add_get("/health/live", self._live)

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def report(self) -> dict[str, Any]:
        """What `/health` answers: `status` is `ok` where orders can be served."""
        database, telegram, provider = await asyncio.gather(
            self._database.result(), self._telegram.result(), self._provider.result()
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
                "media": {"name": self._app_context.providers.media.name, "state": provider},
                "voices": {"name": self._app_context.providers.voices.name},
                "words": {"name": self._app_context.providers.text.name},
                "moderation": {"name": self._app_context.providers.moderation.name},
            },
            "plan": {service: self._plans.choose_plan(service) for service in modes},
        }

    async def _health(self, request: web.Request) -> web.Response:
        body = await self.report()
        return web.json_response(body, status=200 if body["status"] == "ok" else 503)

    async def _check_database(self) -> str:
        try:
            await self._app_context.db.fetchval("SELECT 1")
        except (*DATABASE_UNAVAILABLE, asyncpg.PostgresError) as error:
            return f"away: {type(error).__name__}"
        return "ok"

    async def _check_telegram(self) -> str:
        try:
            for bot in self._app_context.bots.values():
                await bot.get_me(request_timeout=int(_CHECK_SECONDS))
        except TelegramAPIError as error:
            return f"away: {type(error).__name__}"
        return "ok"

    async def _check_provider(self) -> str:
        try:
            await self._app_context.providers.media.check()
        except ProviderError as error:
            return f"away: {error.kind}"
        return "ok"


class _CachedCheck:
    def __init__(self, check: Check, seconds: float) -> None:
        self._check = check
        self._seconds = seconds
        self._result = ""
        self._checked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def result(self) -> str:
        async with self._lock:
            if time.monotonic() - self._checked_at >= self._seconds:
                try:
                    self._result = await asyncio.wait_for(self._check(), _CHECK_SECONDS)
                except TimeoutError:
                    self._result = f"away: no answer within {_CHECK_SECONDS:.0f} s"
                self._checked_at = time.monotonic()
            return self._result
