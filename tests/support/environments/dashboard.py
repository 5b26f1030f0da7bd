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
from services.admin.dashboard_auth import Door
from services.core.i18n import Texts
from services.dispatch import Dispatcher
from services.job_kinds import ERRANDS, JOBS
from services.jobs.engine import JobEngine
from services.jobs.outbox_publisher import Relay
from services.jobs.routing import NoPlanA, Plans
from services.jobs.worker import Queue
from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from services.notifications.notify import notify_training_failed
from storage.jobs.jobs import Job, State, claim_job, end_job
from storage.jobs.journal import begin_step, end_step
from storage.pool import Pool
from tests.support.environments.environment import BOT_TOKEN, TelegramStand
from tests.support.test_data.factories import add_job
from web.dashboard.access import COOKIE
from web.dashboard.routes import Dashboard

ADMIN = 7
PUBLIC = "https://diptych.example"
HEALTH = {
    "database": "ok",
    "telegram": "away: TelegramNetworkError",
    "inngest": "ok",
    "providers": {"media": {"name": "offline", "state": "ok"}, "voices": {"name": "offline"}},
}


class PlanAThere(NoPlanA):
    """Inngest, well and taking nothing: what is sent to it stays in the outbox, as no relay runs."""

    healthy = True
    state = "ok"


@dataclass
class Answer:
    status: int
    text: str
    headers: Any
    cookies: dict[str, str]


@dataclass
class House:
    """`url` is where it listens; `token` and `cookie` are those of a browser that has come in."""

    db: Pool
    telegram: TelegramStand
    dispatcher: Dispatcher
    door: Door
    url: str
    cookie: str = ""

    @property
    def studio(self) -> Studio:
        return self.dispatcher.studio

    async def come_in(self, admin: int = ADMIN) -> None:
        self.cookie = self.door.begin_session(admin).cookie

    @property
    def token(self) -> str:
        return self.door.action_token(self.door.read_session(self.cookie))

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def act(self, path: str, *, token: str | None = None, headers: Any = None, **form: str) -> Answer:
        """A POST as the page's own forms send it."""
        form = {"action_token": self.token if token is None else token, **form}
        return await self.ask("POST", path, headers=headers or {}, data=form)

    async def ask(self, method: str, path: str, *, headers: Any, data: Any = None) -> Answer:
        cookie = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers=cookie) as session,
            session.request(
                method, URL(self.url + path, encoded=True), headers=headers, data=data, allow_redirects=False
            ) as response,
        ):
            given = {name: morsel.value for name, morsel in response.cookies.items()}
            return Answer(response.status, await response.text(), response.headers, given)

    async def finished(
        self, state: State, *, failure: str | None = None, result: Any = None, **changes: Any
    ) -> Job:
        """A job that went all its way on its plan, with a journal of two steps."""
        plan = changes.get("plan", "B")
        job = await add_job(self.db, **changes)
        claimed = await claim_job(self.db, job.id, "runner", plan, seconds=30)
        assert claimed
        await end_step(self.db, job.id, "moderate", claimed.epoch, {"value": None})
        await begin_step(self.db, job.id, "deliver", claimed.epoch)
        if state == "succeeded":
            await end_step(self.db, job.id, "deliver", claimed.epoch, {"value": {"message_ids": [41]}})
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
async def dashboard_house(
    db: Pool, folder: Path, *, plan_a: bool = False, sandbox_host: str | None = None, admins: frozenset[int]
) -> AsyncIterator[House]:
    telegram = TelegramStand()
    await telegram.start()
    bots = create_bots({"main": BOT_TOKEN}, telegram.url)
    providers = create_providers(Settings(_env_file=None, data_dir=folder))
    studio = Studio(db, bots, Texts(), providers, admins)
    plans = Plans(db, PlanAThere() if plan_a else NoPlanA(), list(JOBS))
    await plans.load()
    queue = Queue(JobEngine(studio, ERRANDS, notify_training_failed), plans)
    dispatcher = Dispatcher(studio, plans, queue, Relay(studio, plans, queue))
    door = Door(studio, PUBLIC)

    async def health() -> Any:
        return HEALTH

    app = web.Application()
    Dashboard(dispatcher, door, health, sandbox_host=sandbox_host).add_routes(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield House(db, telegram, dispatcher, door, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
        await studio.background.drain(2)
        await providers.close()
        await bots["main"].session.close()
        await telegram.close()


def without_admins(house: House) -> Door:
    """The same process after a restart with nobody in ADMIN_IDS."""
    return Door(replace(house.studio, admins=frozenset()), PUBLIC)


def plain(html: str) -> str:
    """The words of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def at(seconds_ago: float) -> datetime:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC)
