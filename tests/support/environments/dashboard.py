"""The dashboard without a bot behind it: a real database, and the sandbox's Telegram."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
from services.admin.admin_actions import AdminActions
from services.admin.dashboard_auth import DashboardAuth
from services.core.background import BackgroundTasks
from services.core.i18n import Texts
from services.dispatch import OrderDispatcher
from services.durable.pubsub import PubSub
from services.job_kinds import JOB_KINDS
from services.jobs.engine import JobEngine
from services.jobs.outbox_publisher import OutboxPublisher
from services.jobs.routing import PlanRouter
from services.jobs.settlement import end_and_settle
from services.jobs.worker import Worker
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from services.notifications.notify import notify_training_failed
from storage.jobs.jobs import Job, JobState, claim_job
from storage.jobs.journal import finish_step, start_step
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, SandboxTelegram
from tests.support.environments.plan_a import FakePlanA
from tests.support.test_data.factories import add_job
from web.dashboard.access import COOKIE
from web.dashboard.routes import Dashboard

ADMIN = 7
PUBLIC_URL = "https://diptych.example"
HEALTH = {
    "database": "ok",
    "telegram": "unavailable: TelegramNetworkError",
    "inngest": "ok",
    "providers": {"media": {"name": "offline", "state": "ok"}, "voices": {"name": "offline"}},
}


@dataclass
class PageResponse:
    """A response, read to its end."""

    status: int
    text: str
    headers: Any
    cookies: dict[str, str]


@dataclass
class DashboardApp:
    """The dashboard, and a browser that may have logged in.

    Attributes:
        db: The database.
        telegram: The sandbox's Telegram.
        messenger: Sends to it.
        router: The modes.
        actions: What can be done about an order.
        background: Tasks that go on after a response.
        auth: Makes links and sessions.
        url: Where the dashboard listens.
        cookie: The browser's session; empty before `login`.
    """

    db: Pool
    telegram: SandboxTelegram
    messenger: Messenger
    router: PlanRouter
    actions: AdminActions
    background: BackgroundTasks
    auth: DashboardAuth
    url: str
    cookie: str = ""

    @property
    def texts(self) -> Texts:
        """All texts."""
        return self.messenger.texts

    async def login(self, admin: int = ADMIN) -> None:
        """Give the browser a session."""
        self.cookie = self.auth.start_session(admin).cookie

    @property
    def token(self) -> str:
        """The action token of the browser's session."""
        return self.auth.action_token(self.auth.read_session(self.cookie))

    async def get(self, path: str, **headers: str) -> PageResponse:
        """Get a page with the browser's cookie."""
        return await self.request("GET", path, headers=headers)

    async def submit(
        self, path: str, *, token: str | None = None, headers: Any = None, **form: str
    ) -> PageResponse:
        """Send a POST as the page's own forms do."""
        form = {"action_token": self.token if token is None else token, **form}
        return await self.request("POST", path, headers=headers or {}, data=form)

    async def request(self, method: str, path: str, *, headers: Any, data: Any = None) -> PageResponse:
        """Send any request with the browser's cookie. Redirects are not followed."""
        cookie = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=cookie) as session,
            session.request(
                method, URL(self.url + path, encoded=True), headers=headers, data=data, allow_redirects=False
            ) as response,
        ):
            cookies = {name: morsel.value for name, morsel in response.cookies.items()}
            return PageResponse(response.status, await response.text(), response.headers, cookies)

    async def add_finished_job(
        self, state: JobState, *, failure: str | None = None, result: Any = None, **changes: Any
    ) -> Job:
        """A job that has ended on its plan, with a journal of two steps."""
        plan = changes.get("plan", "B")
        job = await add_job(self.db, **changes)
        claimed = await claim_job(self.db, job.id, "worker", plan, seconds=30)
        assert claimed
        await finish_step(self.db, job.id, "moderate", claimed.epoch, {"value": None})
        await start_step(self.db, job.id, "deliver", claimed.epoch)
        if state == "succeeded":
            await finish_step(self.db, job.id, "deliver", claimed.epoch, {"value": {"message_ids": [41]}})
        result = result or {"message_ids": [41]}
        return await end_and_settle(self.db, claimed, state, failure=failure, result=result)

    async def backdate(self, job_id: UUID, *, seconds: float, took: float, waited: float) -> None:
        """Move a job's times so that it ended `seconds` ago."""
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
    """Serve the dashboard.

    Args:
        db: The database.
        folder: Where the offline providers keep their files.
        plan_a: Whether Inngest is available. It accepts nothing: what is sent to it stays in the outbox.
        sandbox_host: As of Dashboard.
        admins: The ids of the admins.
    """
    telegram, texts, background = SandboxTelegram(), Texts(), BackgroundTasks()
    await telegram.start()
    bots = create_bots({"main": BOT_TOKEN}, telegram.url)
    messenger = Messenger(db, Bots(bots), texts)
    providers = create_providers(Settings(_env_file=None, data_dir=folder))
    router = PlanRouter(db, FakePlanA(healthy=plan_a), list(JOB_KINDS))
    await router.load()
    engine = JobEngine(db, messenger, providers, background, {}, notify_training_failed)
    worker = Worker(engine, router, PubSub())
    publisher = OutboxPublisher(messenger, router, worker)
    dispatcher = OrderDispatcher(db, providers, router, worker, publisher, background)
    actions = AdminActions(db, messenger, dispatcher)
    auth = DashboardAuth(db, admins, BOT_TOKEN.encode(), PUBLIC_URL)

    async def read_health() -> Any:
        return HEALTH

    app = web.Application()
    dashboard = Dashboard(
        db, texts, router, worker, background, auth, actions, read_health, sandbox_host=sandbox_host
    )
    dashboard.add_routes(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield DashboardApp(db, telegram, messenger, router, actions, background, auth, url)
    finally:
        await runner.cleanup()
        await background.drain(2)
        await providers.close()
        await bots["main"].session.close()
        await telegram.close()


def auth_without_admins(dashboard_app: DashboardApp) -> DashboardAuth:
    """The same process after a restart with an empty ADMIN_IDS."""
    return DashboardAuth(dashboard_app.db, frozenset(), BOT_TOKEN.encode(), PUBLIC_URL)


def page_text(html: str) -> str:
    """The text of a page, without its HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def at(seconds_ago: float) -> datetime:
    """The time that long ago."""
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC)
