"""The dashboard in a process of its own making: a real database and Telegram's stand, no bot behind it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from aiohttp import web
from yarl import URL

from bot.providers import create_providers
from bot.settings import Settings
from bot.telegram.bots import create_bots
from services.admin.dashboard_auth import DashboardAuth
from services.core.i18n import Texts
from services.dispatch import OrderDispatcher
from services.job_kinds import INTERNAL_JOBS, JOB_KINDS
from services.jobs.engine import JobEngine
from services.jobs.outbox_publisher import OutboxPublisher
from services.jobs.routing import NoPlanA, PlanRouter
from services.jobs.worker import Worker
from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from services.notifications.notify import notify_training_failed
from storage.jobs.jobs import Job, JobState, claim_job, end_job
from storage.jobs.journal import finish_step, start_step
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, SandboxTelegram
from tests.support.test_data.factories import add_job
from web.dashboard.access import COOKIE
from web.dashboard.routes import Dashboard

ADMIN = 7
PUBLIC_URL = "https://diptych.example"
HEALTH = {
    "database": "ok",
    "telegram": "away: TelegramNetworkError",
    "inngest": "ok",
    "providers": {"media": {"name": "offline", "state": "ok"}, "voices": {"name": "offline"}},
}


class HealthyPlanA(NoPlanA):
    """Inngest, well and taking nothing: what is sent to it stays in the outbox, as no relay runs."""

    healthy = True
    state = "ok"


@dataclass
class PageResponse:
    status: int
    text: str
    headers: Any
    cookies: dict[str, str]


@dataclass
class DashboardApp:
    """`url` is where it listens; `token` and `cookie` are those of a browser that has come in."""

    db: Pool
    telegram: SandboxTelegram
    dispatcher: OrderDispatcher
    auth: DashboardAuth
    url: str
    cookie: str = ""

    @property
    def app_context(self) -> AppContext:
        return self.dispatcher.studio

    async def login(self, admin: int = ADMIN) -> None:
        self.cookie = self.auth.start_session(admin).cookie

    @property
    def token(self) -> str:
        return self.auth.action_token(self.auth.read_session(self.cookie))

    async def get(self, path: str, **headers: str) -> PageResponse:
        return await self.request("GET", path, headers=headers)

    async def submit(
        self, path: str, *, token: str | None = None, headers: Any = None, **form: str
    ) -> PageResponse:
        """A POST as the page's own forms send it."""
        form = {"action_token": self.token if token is None else token, **form}
        return await self.request("POST", path, headers=headers or {}, data=form)

    async def request(self, method: str, path: str, *, headers: Any, data: Any = None) -> PageResponse:
        cookie = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=cookie) as session,
            session.request(
                method, URL(self.url + path, encoded=True), headers=headers, data=data, allow_redirects=False
            ) as response,
        ):
            given = {name: morsel.value for name, morsel in response.cookies.items()}
            return PageResponse(response.status, await response.text(), response.headers, given)

    async def add_finished_job(
        self, state: JobState, *, failure: str | None = None, result: Any = None, **changes: Any
    ) -> Job:
        """A job that went all its way on its plan, with a journal of two steps."""
        plan = changes.get("plan", "B")
        job = await add_job(self.db, **changes)
        claimed = await claim_job(self.db, job.id, "runner", plan, seconds=30)
        assert claimed
        await finish_step(self.db, job.id, "moderate", claimed.epoch, {"value": None})
        await start_step(self.db, job.id, "deliver", claimed.epoch)
        if state == "succeeded":
            await finish_step(self.db, job.id, "deliver", claimed.epoch, {"value": {"message_ids": [41]}})
        async with self.db.acquire() as connection, connection.transaction():
            ended = await end_job(
                connection, job.id, claimed.epoch, state, failure=failure, result=result or {"message_ids": [41]}
            )
            assert ended
            await (ledger.capture if state == "succeeded" else ledger.release)(connection, ended)
        return ended

    async def backdate(self, job_id: UUID, *, seconds: float, took: float, waited: float) -> None:
        """Let a job have ended `seconds` ago."""
        await self.db.execute(
            """UPDATE jobs SET ended_at = now() - make_interval(secs => $2),
               started_at = now() - make_interval(secs => $2 + $3),
               created_at = now() - make_interval(secs => $2 + $3 + $4) WHERE id = $1""",
            job_id,
            seconds,
            took,
            waited,
        )


@asynccontextmanager
async def open_dashboard_app(
    db: Pool, folder: Path, *, plan_a: bool = False, sandbox_host: str | None = None, admins: frozenset[int]
) -> AsyncIterator[DashboardApp]:
    telegram = SandboxTelegram()
    await telegram.start()
    bots = create_bots({"main": BOT_TOKEN}, telegram.url)
    providers = create_providers(Settings(_env_file=None, data_dir=folder))
    studio = AppContext(db, bots, Texts(), providers, admins)
    plans = PlanRouter(db, HealthyPlanA() if plan_a else NoPlanA(), list(JOB_KINDS))
    await plans.load()
    queue = Worker(JobEngine(studio, INTERNAL_JOBS, notify_training_failed), plans)
    dispatcher = OrderDispatcher(studio, plans, queue, OutboxPublisher(studio, plans, queue))
    door = DashboardAuth(studio, PUBLIC_URL)

    async def health() -> Any:
        return HEALTH

    app = web.Application()
    Dashboard(dispatcher, door, health, sandbox_host=sandbox_host).add_routes(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield DashboardApp(db, telegram, dispatcher, door, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
        await studio.background.drain(2)
        await providers.close()
        await bots["main"].session.close()
        await telegram.close()


def auth_without_admins(dashboard_app: DashboardApp) -> DashboardAuth:
    """The same process after a restart with nobody in ADMIN_IDS."""
    return DashboardAuth(replace(dashboard_app.app_context, admins=frozenset()), PUBLIC_URL)


def page_text(html: str) -> str:
    """The words of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def at(seconds_ago: float) -> datetime:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC)
