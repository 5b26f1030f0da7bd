"""Which plan a job runs on: the mode that an admin has set, and whether Inngest is available."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol, get_args

from loguru import logger

from services.hello import HelloResult
from storage.jobs.jobs import Job, Plan
from storage.pool import Pool
from storage.settings import SettingChange, get_settings, latest_changes, set_setting, unset_setting

Mode = Literal["auto", "a", "b"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
_MODE_KEY: Final = "mode"


class InngestUnavailable(Exception):
    """Inngest did not accept the events in time."""


class PlanA(Protocol):
    """Inngest, as the rest of the bot sees it."""

    @property
    def healthy(self) -> bool:
        """Whether it is reachable, knows our functions and runs what it accepts."""
        ...

    @property
    def state(self) -> str:
        """`ok`, or why not, for an admin."""
        ...

    @property
    def since(self) -> datetime:
        """When it became healthy or stopped being so, as this process saw it."""
        ...

    async def check_runs(self) -> bool:
        """Whether Inngest starts anything at all; called when an accepted job was not started."""
        ...

    async def send(self, jobs: Sequence[Job]) -> None:
        """Have Inngest accept the jobs, within a deadline. Raises InngestUnavailable."""
        ...

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Wake a run that waits for this prediction. Raises InngestUnavailable."""
        ...

    async def send_cancellation(self, job: Job) -> None:
        """Cancel the run of a job that its user has cancelled. Raises InngestUnavailable."""
        ...

    async def hello(self, name: str, language: str) -> HelloResult:
        """Run hello world and return its result. Raises InngestUnavailable."""
        ...


class PlanRouter:
    """Holds the modes, as they are stored in the database, and chooses plans by them.

    Args:
        db: Where the modes are stored.
        plan_a: Inngest.
        services: The ids of every kind of job that has a plan: services and internal jobs.
    """

    def __init__(self, db: Pool, plan_a: PlanA, services: Sequence[str]) -> None:
        self.plan_a = plan_a
        self.services = list(services)
        self._db = db
        self._modes: dict[str, Mode] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read the modes again: at the start, and when a change is announced."""
        async with self._lock:  # of two reads the later one must win
            stored = await get_settings(self._db, _MODE_KEY)
            self._modes = {key: value for key, value in stored.items() if value in MODES}

    @property
    def default_mode(self) -> Mode:
        """The mode of every service that has none of its own."""
        return self._modes.get(_MODE_KEY, "auto")

    def service_mode(self, service: str) -> Mode | None:
        """The mode set for this service alone, if there is one."""
        return self._modes.get(f"{_MODE_KEY}:{service}")

    def mode(self, service: str) -> Mode:
        """The mode that holds for a service."""
        return self.service_mode(service) or self.default_mode

    def choose_plan(self, service: str) -> Plan:
        """The plan that an order of this service gets now."""
        mode = self.mode(service)
        if mode == "auto":
            return "A" if self.plan_a.healthy else "B"
        return "A" if mode == "a" else "B"

    def falls_back(self, service: str) -> bool:
        """Whether an order goes to Plan B now only because Inngest is unavailable."""
        return self.mode(service) == "auto" and not self.plan_a.healthy

    def waits_for_inngest(self, service: str) -> bool:
        """Whether an order has to wait until Inngest is available again."""
        return self.mode(service) == "a" and not self.plan_a.healthy

    def takeover_services(self) -> list[str]:
        """The services whose jobs Plan B may take over when Plan A stops responding."""
        return [service for service in self.services if self.mode(service) != "a"]

    async def set_mode(
        self, mode: Mode | None, *, service: str | None = None, changed_by: int | None = None
    ) -> None:
        """Set a mode, in every process.

        Args:
            mode: The mode; None lets one service follow the default again.
            service: The service; None sets the default of all.
            changed_by: Telegram's user id of the admin, for the log.
        """
        key = f"{_MODE_KEY}:{service}" if service else _MODE_KEY
        if mode is None:
            await unset_setting(self._db, key, changed_by=changed_by)
        else:
            await set_setting(self._db, key, mode, changed_by=changed_by)
        logger.info("mode set", service=service, mode=mode or "default", admin=changed_by)
        await self.load()

    async def mode_changes(self, *, limit: int = 15) -> list[SettingChange]:
        """Who set which mode when, newest first."""
        return await latest_changes(self._db, _MODE_KEY, limit=limit)
