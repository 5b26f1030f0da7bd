"""`/health`: whether orders can be served now, and the state of each part; `/health/live`: whether the process runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from providers.protocols import ProviderError
from services.generation.context import Providers
from services.generation.registry import SERVICES
from services.jobs.routing import PlanRouter
from services.messaging.bots import Bots
from storage.pool import Pool

CHECK_SECONDS = 3.0
DATABASE_CACHE_SECONDS = 1.0
TELEGRAM_CACHE_SECONDS = 5.0
PROVIDER_CACHE_SECONDS = 30.0

_Check = Callable[[], Awaitable[object]]
"""Checks a part of the system. Any error means that it is unavailable."""


class Health:
    """Checks all parts concurrently, each with a deadline, and caches the results for some seconds.

    Args:
        db: The database.
        bots: The bots. Telegram is called with each of them.
        providers: The providers. Only the media provider is called.
        router: The plan that orders go to, and Inngest's health.
    """

    def __init__(self, db: Pool, bots: Bots, providers: Providers, router: PlanRouter) -> None:
        self._db = db
        self._bots = bots
        self._providers = providers
        self._router = router
        self._database = _CachedCheck(self._check_database, DATABASE_CACHE_SECONDS)
        self._telegram = _CachedCheck(self._check_telegram, TELEGRAM_CACHE_SECONDS)
        self._provider = _CachedCheck(providers.media.check, PROVIDER_CACHE_SECONDS)

    def add_routes(self, app: web.Application) -> None:
        """Add `/health` and `/health/live` to the web application."""
        app.router.add_get("/health", self._health)
        app.router.add_get("/health/live", self._live)

    async def report(self) -> dict[str, Any]:
        """The body of `/health`, as JSON.

        Returns:
            `status` is `ok` if orders can be served. Each part is `ok`, or `unavailable: ` and the reason, without
            secrets.
        """
        database, telegram, provider = await asyncio.gather(
            self._database.result(), self._telegram.result(), self._provider.result()
        )
        router, providers = self._router, self._providers
        some_plan = router.plan_a.healthy or any(router.mode(service) != "a" for service in SERVICES)
        serving = (database, telegram, provider) == ("ok", "ok", "ok") and some_plan
        return {
            "status": "ok" if serving else "not serving",
            "database": database,
            "telegram": telegram,
            "inngest": router.plan_a.state,
            "providers": {
                "media": {"name": providers.media.name, "state": provider},
                "voices": {"name": providers.voices.name},
                "words": {"name": providers.text.name},
                "moderation": {"name": providers.moderation.name},
            },
            "plan": {service: router.choose_plan(service) for service in SERVICES},
        }

    async def _health(self, request: web.Request) -> web.Response:
        """Whether orders can be served now: 200, else 503."""
        body = await self.report()
        return web.json_response(body, status=200 if body["status"] == "ok" else 503)

    async def _live(self, request: web.Request) -> web.Response:
        """Whether the process answers: always 200."""
        return web.json_response({"status": "ok"})

    async def _check_database(self) -> None:
        await self._db.fetchval("SELECT 1")

    async def _check_telegram(self) -> None:
        for bot in self._bots.by_name.values():
            await bot.get_me(request_timeout=int(CHECK_SECONDS))


class _CachedCheck:
    """A check whose result is cached.

    Args:
        check: The check.
        seconds: How long a result is cached.
    """

    def __init__(self, check: _Check, seconds: float) -> None:
        self._check = check
        self._seconds = seconds
        self._result = ""
        self._checked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def result(self) -> str:
        """`ok`, or `unavailable: ` and the reason. Concurrent callers share one check."""
        async with self._lock:
            if time.monotonic() - self._checked_at >= self._seconds:
                self._result = await self._run()
                self._checked_at = time.monotonic()
            return self._result

    async def _run(self) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS) as deadline:
                await self._check()
        except ProviderError as error:
            return f"unavailable: {error.kind}"
        except Exception as error:  # noqa: BLE001 - any error means that this part is unavailable
            reason = f"no answer within {CHECK_SECONDS:.0f} s" if deadline.expired() else type(error).__name__
            return f"unavailable: {reason}"
        return "ok"
