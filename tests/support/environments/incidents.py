"""Processes that look for incidents and tell of them, on a simulated clock: ten minutes take no time."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from services.job_kinds import JOBS
from services.jobs.routing import Plans
from services.messaging.app_context import Studio
from services.monitoring.alert_messages import QuietHours
from services.monitoring.alert_webhook import AlertWebhook
from services.monitoring.alerts import Alerts
from services.monitoring.health_checks import Conditions
from services.monitoring.incidents import Incidents
from storage.incidents import open_incidents
from storage.pool import Pool
from tests.support.environments.environment import TelegramStand
from tests.support.test_data.factories import add_job

ANN, BORIS = 7, 8
PERSON = 1001


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 5, 4, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Inngest:
    clock: Clock
    healthy: bool = True
    state: str = "ok"
    since: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def become(self, healthy: bool, why: str = "away: ConnectTimeout") -> None:
        if healthy != self.healthy:
            self.healthy, self.state, self.since = healthy, "ok" if healthy else why, self.clock()


@dataclass
class Process:
    incidents: Incidents
    alerts: Alerts
    plans: Plans


@dataclass
class House:
    """Telegram, the database, a clock, and any number of processes of ours."""

    db: Pool
    telegram: TelegramStand
    studio: Studio
    clock: Clock
    inngest: Inngest
    processes: list[Process] = field(default_factory=list)

    def start(self, *, webhook: str = "", quiet: QuietHours | None = None) -> Process:
        plans = Plans(self.db, cast("Any", self.inngest), list(JOBS))
        incidents = Incidents(self.studio, Conditions(self.studio, plans), clock=self.clock)
        caller = AlertWebhook(webhook, self.studio.texts) if webhook else None
        alerts = Alerts(self.studio, quiet=quiet, webhook=caller, clock=self.clock)
        self.processes.append(Process(incidents, alerts, plans))
        return self.processes[-1]

    async def pass_time(self, seconds: float, step: float = 5.0) -> None:
        """All processes look and tell at each step, side by side."""
        for _ in range(int(seconds / step)):
            self.clock.forward(step)
            await asyncio.gather(*(each.incidents.look() for each in self.processes))
            await asyncio.gather(*(each.alerts.tell() for each in self.processes))

    async def look(self) -> None:
        await self.pass_time(5.0)

    async def calm(self) -> None:
        """Long enough for what was seen before to be over, and for that to be told."""
        await self.pass_time(160.0, step=20.0)

    async def sent(self, admin: int = ANN) -> list[dict[str, Any]]:
        calls = await self.telegram.calls("sendMessage")
        return [c["params"] for c in calls if c["params"]["chat_id"] == str(admin) and c["status"] == 200]

    async def edits(self, admin: int = ANN) -> list[str]:
        calls = await self.telegram.calls("editMessageText")
        return [call["params"]["text"] for call in calls if call["params"]["chat_id"] == str(admin)]

    async def count(self) -> int:
        return int(await self.db.fetchval("SELECT count(*) FROM incidents"))

    async def open(self) -> list[str]:
        return sorted(await open_incidents(self.db))

    async def fall_back(self, count: int = 1) -> None:
        """Orders that went to Plan B only because Inngest was away, now on the simulated clock."""
        for _ in range(count):
            job = await add_job(self.db, fell_back=True, price=0)
            await self.db.execute("UPDATE job_events SET at = $2 WHERE job_id = $1", job.id, self.clock())
            await self.end(job.id, "succeeded")

    async def end(self, job_id: Any, state: str, failure: str | None = None, *, ago: float = 0) -> None:
        at = self.clock() - timedelta(seconds=ago)
        query = "UPDATE jobs SET state = $2, failure = $3, created_at = $4, ended_at = $4 WHERE id = $1"
        await self.db.execute(query, job_id, state, failure, at)
