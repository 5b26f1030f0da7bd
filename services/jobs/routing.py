"""Which plan a job runs on: the mode an admin has set, and whether Inngest is there."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, Protocol, get_args

import asyncpg
from loguru import logger

from services.durable.pubsub import CHANNEL as SIGNALS
from services.durable.pubsub import PubSub
from services.hello import HelloResult
from storage.jobs.jobs import Job, Plan
from storage.pool import DATABASE_UNAVAILABLE, Connection, Pool
from storage.settings import CHANNEL, SettingChange, get_settings, latest_changes, set_setting, unset_setting

Mode = Literal["auto", "a", "b"]
MODES: tuple[Mode, ...] = get_args(Mode)
_MODE_KEY = "mode"
_RECONNECT_SECONDS = 1.0


class InngestUnavailable(Exception):
    """Inngest did not accept the events in time."""


class PlanA(Protocol):
    """Inngest, as the business sees it."""

    @property
    def healthy(self) -> bool:
        """Configured, functions registered, circuit closed, and running what it accepts."""
        ...

    @property
    def state(self) -> str:
        """`ok`, or why not, in words for an admin."""
        ...

    @property
    def since(self) -> datetime:
        """When it became healthy or stopped being so, as this process saw it."""
        ...

    async def check_runs(self) -> bool:
        """Asked when an accepted job was not begun: whether Inngest begins anything at all."""
        ...

    async def send(self, jobs: Sequence[Job]) -> None:
        """Have Inngest accept the jobs, whose ids are the events' ids. Raises PlanAAway, soon."""
        ...

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Wake a run that waits for this prediction. Raises PlanAAway."""
        ...

    async def send_cancellation(self, job: Job) -> None:
        """Let go of a job whose person has stopped it. Raises PlanAAway."""
        ...

    async def hello(self, name: str, language: str) -> HelloResult:
        """Have hello world run, and give its result. Raises PlanAAway."""
        ...


class NoPlanA:
    """Where Inngest is not configured."""

    healthy = False
    state = "not configured"

    def __init__(self) -> None:
        self.since = datetime.now(UTC)

    async def check_runs(self) -> bool:
        return False

    async def send(self, jobs: Sequence[Job]) -> None:
        raise InngestUnavailable("Inngest is not configured")

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        raise InngestUnavailable("Inngest is not configured")

    async def send_cancellation(self, job: Job) -> None:
        raise InngestUnavailable("Inngest is not configured")

    async def hello(self, name: str, language: str) -> HelloResult:
        raise InngestUnavailable("Inngest is not configured")


class PlanRouter:
    """The modes, as they stand in Postgres; every process hears of a change at once."""

    def __init__(self, db: Pool, plan_a: PlanA, services: Sequence[str], *, pubsub: PubSub | None = None) -> None:
        """`services` are the ids of every kind of job that has a plan: what people order, and errands."""
        self._db = db
        self.services = list(services)
        self.pubsub = pubsub or PubSub()
        self.plan_a = plan_a
        self._modes: dict[str, Mode] = {}

    def mode(self, service: str) -> Mode:
        return self._modes.get(f"{_MODE_KEY}:{service}") or self._modes.get(_MODE_KEY, "auto")

    def choose_plan(self, service: str) -> Plan:
        mode = self.mode(service)
        if mode == "auto":
            return "A" if self.plan_a.healthy else "B"
        return "A" if mode == "a" else "B"

    def falls_back(self, service: str) -> bool:
        """Whether an order goes to Plan B now only because Inngest is away."""
        return self.mode(service) == "auto" and not self.plan_a.healthy

    def waits_for_inngest(self, service: str) -> bool:
        """Whether an order now has to wait until Inngest is back."""
        return self.mode(service) == "a" and not self.plan_a.healthy

    def takeover_services(self) -> list[str]:
        """The services whose jobs Plan B may take from a Plan A that fell silent."""
        return [service for service in self.services if self.mode(service) != "a"]

    async def set_mode(
        self, mode: Mode | None, *, service: str | None = None, changed_by: int | None = None
    ) -> None:
        """Set the mode of all services or of one; None lets one follow the others again."""
        key = f"{_MODE_KEY}:{service}" if service else _MODE_KEY
        if mode is None:
            await unset_setting(self._db, key, changed_by=changed_by)
        else:
            await set_setting(self._db, key, mode, changed_by=changed_by)
        logger.info(
            "mode of {} is now {}, set by {}", service or "all services", mode or "that of all", changed_by
        )
        await self.load()

    async def mode_changes(self, *, limit: int = 15) -> list[SettingChange]:
        """Who set which mode when, newest first."""
        return await latest_changes(self._db, _MODE_KEY, limit=limit)

    def service_mode(self, service: str) -> Mode | None:
        """The mode set for this service alone, if there is one."""
        return self._modes.get(f"{_MODE_KEY}:{service}")

    @property
    def default_mode(self) -> Mode:
        return self._modes.get(_MODE_KEY, "auto")

    async def load(self) -> None:
        stored = await get_settings(self._db, _MODE_KEY)
        self._modes = {key: value for key, value in stored.items() if value in MODES}

    async def listen(self) -> None:
        """Follow changes made by any process, for ever. A lost connection is opened again."""
        while True:
            try:
                async with self._db.acquire() as connection:
                    await self._listen_on(connection)
            except (*DATABASE_UNAVAILABLE, asyncpg.PostgresError) as error:
                logger.warning("settings are not followed, the database is away: {}", error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_on(self, connection: Connection) -> None:
        notifications: asyncio.Queue[bool] = asyncio.Queue()

        def on_change(*_: object) -> None:
            notifications.put_nowait(True)

        def on_message(*args: object) -> None:
            self.pubsub.dispatch(str(args[-1]))

        def on_disconnect(*_: object) -> None:
            notifications.put_nowait(False)

        connection.add_termination_listener(on_disconnect)
        await connection.add_listener(CHANNEL, on_change)
        await connection.add_listener(SIGNALS, on_message)
        try:
            await self.load()  # a change may have come while nobody listened
            while await notifications.get():
                await self.load()
        finally:
            with suppress(
                *DATABASE_UNAVAILABLE
            ):  # else it would hide why we are here: a lost connection, or the end
                connection.remove_termination_listener(on_disconnect)
                await connection.remove_listener(CHANNEL, on_change)
                await connection.remove_listener(SIGNALS, on_message)
