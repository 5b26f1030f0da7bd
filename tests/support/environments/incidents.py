"""Processes that look for incidents and report them, on a simulated clock: ten minutes take no time."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from services.core.background import BackgroundTasks
from services.job_kinds import JOB_KINDS
from services.jobs.routing import PlanRouter
from services.messaging.messenger import Messenger
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
    """A clock that the test advances."""

    now: datetime = field(default_factory=lambda: datetime(2026, 5, 4, 12, 0, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class FakeInngest:
    """Inngest, as the monitor sees it, on the simulated clock."""

    clock: SimulatedClock
    healthy: bool = True
    state: str = "ok"
    since: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def set_health(self, healthy: bool, why: str = "unavailable: ConnectTimeout") -> None:
        """Become available or unavailable now, for a reason that admins read."""
        if healthy != self.healthy:
            self.healthy, self.state, self.since = healthy, "ok" if healthy else why, self.clock()


@dataclass
class MonitoringProcess:
    """The monitoring of one process."""

    incidents: IncidentMonitor
    alerts: Alerts
    router: PlanRouter


@dataclass
class IncidentSimulation:
    """Telegram, the database, a clock, and any number of our processes."""

    db: Pool
    telegram: SandboxTelegram
    messenger: Messenger
    clock: SimulatedClock
    inngest: FakeInngest
    admins: frozenset[int] = frozenset({ADMIN_EN, ADMIN_RU})
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    processes: list[MonitoringProcess] = field(default_factory=list)

    def start_process(self, *, webhook: str = "", quiet_hours: QuietHours | None = None) -> MonitoringProcess:
        """Add a process, which takes part in every `advance` from now on."""
        router = PlanRouter(self.db, cast("Any", self.inngest), list(JOB_KINDS))
        incidents = IncidentMonitor(self.db, HealthChecks(self.db, router), clock=self.clock)
        alerts = Alerts(
            self.db,
            self.messenger,
            self.admins,
            self.background,
            quiet_hours=quiet_hours,
            webhook=AlertWebhook(webhook, self.messenger.texts) if webhook else None,
            clock=self.clock,
        )
        self.processes.append(MonitoringProcess(incidents, alerts, router))
        return self.processes[-1]

    async def advance(self, seconds: float, step: float = 5.0) -> None:
        """Let time pass; at each step all processes check and report at the same time."""
        for _ in range(int(seconds / step)):
            self.clock.advance(step)
            await asyncio.gather(*(each.incidents.run_due_checks() for each in self.processes))
            await asyncio.gather(*(each.alerts.notify() for each in self.processes))

    async def check_once(self) -> None:
        """One step of time."""
        await self.advance(5.0)

    async def wait_until_resolved(self) -> None:
        """Let pass what it takes for the problems found so far to be over, and for that to be reported."""
        await self.advance(160.0, step=20.0)

    async def sent_messages(self, admin: int = ADMIN_EN) -> list[dict[str, Any]]:
        """The parameters of the messages that an admin got, oldest first."""
        calls = await self.telegram.api_calls("sendMessage")
        return [c["params"] for c in calls if c["params"]["chat_id"] == str(admin) and c["status"] == 200]

    async def edited_texts(self, admin: int = ADMIN_EN) -> list[str]:
        """The texts of an admin's messages after each edit, oldest first."""
        calls = await self.telegram.api_calls("editMessageText")
        return [call["params"]["text"] for call in calls if call["params"]["chat_id"] == str(admin)]

    async def count_incidents(self) -> int:
        """How many incidents there have been."""
        return int(await self.db.fetchval("SELECT count(*) FROM incidents"))

    async def open_incident_kinds(self) -> list[str]:
        """The kinds of incidents that are open, by name."""
        return sorted(await open_incidents(self.db))

    async def add_fallbacks(self, count: int = 1) -> None:
        """Add orders that went to Plan B only because Inngest was unavailable, now on the simulated clock."""
        for _ in range(count):
            job = await add_job(self.db, fell_back=True, price=0)
            await self.db.execute("UPDATE job_events SET at = $2 WHERE job_id = $1", job.id, self.clock())
            await self.end_job(job.id, "succeeded")

    async def end_job(self, job_id: Any, state: str, failure: str | None = None, *, ago: float = 0) -> None:
        """Let a job have ended on the simulated clock, `ago` seconds before now."""
        at = self.clock() - timedelta(seconds=ago)
        query = "UPDATE jobs SET state = $2, failure = $3, created_at = $4, ended_at = $4 WHERE id = $1"
        await self.db.execute(query, job_id, state, failure, at)
