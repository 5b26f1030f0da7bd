"""Processes that look for incidents and tell of them, on a simulated clock: ten minutes take no time."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from services.job_kinds import JOB_KINDS
from services.jobs.routing import PlanRouter
from services.messaging.app_context import AppContext
from services.monitoring.alert_messages import QuietHours
from services.monitoring.alert_webhook import AlertWebhook
from services.monitoring.alerts import Alerts
from services.monitoring.health_checks import HealthChecks
from services.monitoring.incidents import IncidentMonitor
from storage.incidents import open_incidents
from storage.pool import Pool
from tests.support.environments.environment import SandboxTelegram
from tests.support.test_data.factories import add_job

ADMIN_EN, ADMIN_RU = 7, 8
USER = 1001


@dataclass
class SimulatedClock:
    now: datetime = field(default_factory=lambda: datetime(2026, 5, 4, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeInngest:
    clock: SimulatedClock
    healthy: bool = True
    state: str = "ok"
    since: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def set_health(self, healthy: bool, why: str = "away: ConnectTimeout") -> None:
        if healthy != self.healthy:
            self.healthy, self.state, self.since = healthy, "ok" if healthy else why, self.clock()


@dataclass
class MonitoringProcess:
    incidents: IncidentMonitor
    alerts: Alerts
    plans: PlanRouter


@dataclass
class IncidentSimulation:
    """Telegram, the database, a clock, and any number of processes of ours."""

    db: Pool
    telegram: SandboxTelegram
    app_context: AppContext
    clock: SimulatedClock
    inngest: FakeInngest
    processes: list[MonitoringProcess] = field(default_factory=list)

    def start_process(self, *, webhook: str = "", quiet: QuietHours | None = None) -> MonitoringProcess:
        plans = PlanRouter(self.db, cast("Any", self.inngest), list(JOB_KINDS))
        incidents = IncidentMonitor(self.app_context, HealthChecks(self.app_context, plans), clock=self.clock)
        caller = AlertWebhook(webhook, self.app_context.texts) if webhook else None
        alerts = Alerts(self.app_context, quiet=quiet, webhook=caller, clock=self.clock)
        self.processes.append(MonitoringProcess(incidents, alerts, plans))
        return self.processes[-1]

    async def advance(self, seconds: float, step: float = 5.0) -> None:
        """All processes look and tell at each step, side by side."""
        for _ in range(int(seconds / step)):
            self.clock.advance(step)
            await asyncio.gather(*(each.incidents.run_due_checks() for each in self.processes))
            await asyncio.gather(*(each.alerts.notify() for each in self.processes))

    async def check_once(self) -> None:
        await self.advance(5.0)

    async def wait_until_resolved(self) -> None:
        """Long enough for what was seen before to be over, and for that to be told."""
        await self.advance(160.0, step=20.0)

    async def sent_messages(self, admin: int = ADMIN_EN) -> list[dict[str, Any]]:
        calls = await self.telegram.api_calls("sendMessage")
        return [c["params"] for c in calls if c["params"]["chat_id"] == str(admin) and c["status"] == 200]

    async def edited_texts(self, admin: int = ADMIN_EN) -> list[str]:
        calls = await self.telegram.api_calls("editMessageText")
        return [call["params"]["text"] for call in calls if call["params"]["chat_id"] == str(admin)]

    async def count_incidents(self) -> int:
        return int(await self.db.fetchval("SELECT count(*) FROM incidents"))

    async def open_incident_kinds(self) -> list[str]:
        return sorted(await open_incidents(self.db))

    async def add_fallbacks(self, count: int = 1) -> None:
        """Orders that went to Plan B only because Inngest was away, now on the simulated clock."""
        for _ in range(count):
            job = await add_job(self.db, fell_back=True, price=0)
            await self.db.execute("UPDATE job_events SET at = $2 WHERE job_id = $1", job.id, self.clock())
            await self.end_job(job.id, "succeeded")

    async def end_job(self, job_id: Any, state: str, failure: str | None = None, *, ago: float = 0) -> None:
        at = self.clock() - timedelta(seconds=ago)
        query = "UPDATE jobs SET state = $2, failure = $3, created_at = $4, ended_at = $4 WHERE id = $1"
        await self.db.execute(query, job_id, state, failure, at)
