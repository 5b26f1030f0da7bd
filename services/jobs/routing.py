"""Chooses the plan of a job, from the mode set by an admin and the availability of Inngest."""

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
    """The bot's interface to Inngest."""

    @property
    def healthy(self) -> bool:
        """Whether Inngest is reachable, knows our functions and runs the jobs it accepts."""
        ...

    @property
    def state(self) -> str:
        """`ok`, or the reason why not, for admins."""
        ...

    @property
    def since(self) -> datetime:
        """When `healthy` last changed, as seen by this process."""
        ...

    async def check_runs(self) -> bool:
        """Check whether Inngest starts anything at all. Called when an accepted job was not started."""
        ...

    async def send(self, jobs: Sequence[Job]) -> None:
        """Send the events of jobs to Inngest, within a time limit. Raises InngestUnavailable."""
        ...

    async def send_prediction_finished(self, prediction_id: str, job: Job) -> None:
        """Wake the run of `job`, which waits for this prediction. Raises InngestUnavailable."""
        ...

    async def send_cancellation(self, job: Job) -> None:
        """Cancel the run of a cancelled job. Raises InngestUnavailable."""
        ...

    async def hello(self, name: str, language: str) -> HelloResult:
        """Run hello world and return its result. Raises InngestUnavailable."""
        ...


class PlanRouter:
    """Caches the modes stored in the database, and chooses plans by them.

    Args:
        db: The database.
        plan_a: Inngest.
        services: The ids of all job kinds: services and internal jobs.
    """

    def __init__(self, db: Pool, plan_a: PlanA, services: Sequence[str]) -> None:
        self.plan_a = plan_a
        self.services = list(services)
        self._db = db
        self._modes: dict[str, Mode] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Reload the modes, at startup and after each change."""
        async with self._lock:  # of two concurrent reads, the later must win
            stored = await get_settings(self._db, _MODE_KEY)
            self._modes = {key: value for key, value in stored.items() if value in MODES}

    @property
    def default_mode(self) -> Mode:
        """The mode of all services that have none of their own."""
        return self._modes.get(_MODE_KEY, "auto")

    def service_mode(self, service: str) -> Mode | None:
        """Return the mode set for this service alone, or None."""
        return self._modes.get(f"{_MODE_KEY}:{service}")

    def mode(self, service: str) -> Mode:
        """Return the mode that applies to a service."""
        return self.service_mode(service) or self.default_mode

    def choose_plan(self, service: str) -> Plan:
        """Choose the plan for a new job of this service."""
        mode = self.mode(service)
        if mode == "auto":
            return "A" if self.plan_a.healthy else "B"
        return "A" if mode == "a" else "B"

    def falls_back(self, service: str) -> bool:
        """Whether new jobs of this service go to Plan B only because Inngest is unavailable."""
        return self.mode(service) == "auto" and not self.plan_a.healthy

    def waits_for_inngest(self, service: str) -> bool:
        """Whether new jobs of this service wait until Inngest is available again."""
        return self.mode(service) == "a" and not self.plan_a.healthy

    def takeover_services(self) -> list[str]:
        """List the services whose jobs Plan B may take over when Plan A stops responding."""
        return [service for service in self.services if self.mode(service) != "a"]

    async def set_mode(
        self, mode: Mode | None, *, service: str | None = None, changed_by: int | None = None
    ) -> None:
        """Set a mode for all processes.

        Args:
            mode: The mode; None removes it, so that the service follows the default again.
            service: The service; None sets the default.
            changed_by: The admin's Telegram user id, for the record of changes.
        """
        key = f"{_MODE_KEY}:{service}" if service else _MODE_KEY
        if mode is None:
            await unset_setting(self._db, key, changed_by=changed_by)
        else:
            await set_setting(self._db, key, mode, changed_by=changed_by)
        logger.info("mode set", service=service, mode=mode or "default", admin=changed_by)
        await self.load()

    async def mode_changes(self, *, limit: int = 15) -> list[SettingChange]:
        """List the latest changes of modes, newest first."""
        return await latest_changes(self._db, _MODE_KEY, limit=limit)
