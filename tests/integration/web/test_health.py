"""/health reports the state of each part, and answers 200 only if orders can be served."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiogram import Bot
from aiohttp import web
from pydantic import SecretStr

from bot.providers import create_providers
from bot.settings import Settings
from bot.telegram.bots import create_bots
from services.generation.registry import SERVICES
from services.job_kinds import JOB_KINDS
from services.jobs.routing import PlanA, PlanRouter
from services.messaging.bots import Bots
from storage.pool import Pool, create_pool
from tests.support.environments.environment import BOT_TOKEN, SandboxTelegram
from tests.support.fake_providers.replicate_server import TOKEN, FakeReplicate
from web import health
from web.health import Health


@dataclass
class HealthServer:
    """Everything that /health checks; each part can fail by itself."""

    pool: Pool
    telegram: SandboxTelegram
    replicate: FakeReplicate
    router: PlanRouter
    inngest_ok: bool = True
    url: str = ""

    @property
    def healthy(self) -> bool:
        """Whether Inngest is available, for the router."""
        return self.inngest_ok

    @property
    def state(self) -> str:
        """Inngest's state, as /health shows it."""
        return "ok" if self.inngest_ok else "unavailable: no answer"

    async def get(self, path: str = "/health") -> tuple[int, dict[str, Any]]:
        """The status and the body of an answer."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            return response.status, await response.json()


@pytest.fixture
async def server(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HealthServer]:
    for name in ("DATABASE_CACHE_SECONDS", "TELEGRAM_CACHE_SECONDS", "PROVIDER_CACHE_SECONDS"):
        monkeypatch.setattr(health, name, 0.0)
    monkeypatch.setattr(health, "CHECK_SECONDS", 1.0)
    telegram, replicate, pool = SandboxTelegram(), FakeReplicate(), await create_pool(dsn, size=3)
    await telegram.start()
    await replicate.start()
    bots: dict[str, Bot] = create_bots({"main": BOT_TOKEN}, telegram.url)
    secret = SecretStr(TOKEN)
    settings = Settings(
        _env_file=None, replicate_api_token=secret, replicate_base_url=replicate.url, data_dir=tmp_path
    )
    providers = create_providers(settings)
    environment = HealthServer(pool, telegram, replicate, PlanRouter(pool, cast("PlanA", None), list(JOB_KINDS)))
    environment.router.plan_a = cast("PlanA", environment)
    app = web.Application()
    Health(pool, Bots(bots), providers, environment.router).add_routes(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    environment.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield environment
    await runner.cleanup()
    await providers.close()
    await bots["main"].session.close()
    await pool.close()
    await replicate.close()
    await telegram.close()


async def test_health_with_every_part_available_is_ok(server: HealthServer) -> None:
    status, body = await server.get()
    assert status == 200
    assert [body[part] for part in ("status", "database", "telegram", "inngest")] == ["ok"] * 4
    assert body["providers"]["media"] == {"name": "replicate", "state": "ok"}
    assert body["plan"] == dict.fromkeys(SERVICES, "A")


async def test_health_without_the_database_is_503(server: HealthServer) -> None:
    await server.pool.close()
    status, body = await server.get()
    assert status == 503
    assert (body["status"], body["telegram"]) == ("not serving", "ok")
    assert body["database"].startswith("unavailable: ")
    assert await server.get("/health/live") == (200, {"status": "ok"}), "the process itself is alive"


async def test_health_with_a_database_that_does_not_answer_is_503(server: HealthServer) -> None:
    held = [await server.pool.acquire() for _ in range(3)]
    status, body = await server.get()
    for connection in held:
        await server.pool.release(connection)
    assert status == 503
    assert body["database"] == "unavailable: no answer within 1 s"
    assert (await server.get())[0] == 200


@pytest.mark.parametrize("fault", [{"code": 500}, {"code": 401}, {"drop": True}, {"hang": 3.0}])
async def test_health_without_telegram_is_503(server: HealthServer, fault: dict[str, Any]) -> None:
    await server.telegram.add_fault(method="getMe", **fault)
    status, body = await server.get()
    assert status == 503
    assert (body["status"], body["database"]) == ("not serving", "ok")
    assert body["telegram"].startswith("unavailable: ")
    assert BOT_TOKEN not in str(body)
    assert (await server.get())[0] == 200, "healthy again as soon as Telegram is"


async def test_health_without_inngest_is_ok_on_plan_b(server: HealthServer) -> None:
    server.inngest_ok = False
    status, body = await server.get()
    assert status == 200
    assert (body["status"], body["inngest"]) == ("ok", "unavailable: no answer")
    assert body["plan"] == dict.fromkeys(SERVICES, "B")


@pytest.mark.parametrize(("mode", "status", "plan"), [("a", 503, "A"), ("b", 200, "B"), ("auto", 200, "B")])
async def test_health_without_inngest_depends_on_the_mode(
    server: HealthServer, mode: Any, status: int, plan: str
) -> None:
    await server.router.set_mode(mode)
    server.inngest_ok = False
    found, body = await server.get()
    assert (found, body["plan"]) == (status, dict.fromkeys(SERVICES, plan))


@pytest.mark.parametrize("status_of_provider", [500, 401])
async def test_health_without_the_provider_is_503(server: HealthServer, status_of_provider: int) -> None:
    server.replicate.fail_next(status_of_provider, path="/v1/account")
    status, body = await server.get()
    assert status == 503
    assert body["providers"]["media"]["state"].startswith("unavailable: ")
    assert TOKEN not in str(body)
    assert (await server.get())[0] == 200
