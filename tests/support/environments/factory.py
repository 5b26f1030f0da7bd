"""Opens environments of every kind, each with a database of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from storage.pool import create_pool
from tests.support.environments.database import new_database
from tests.support.environments.environment import Environment, PlanName
from tests.support.processes.bot_process import ProcessPool

LONG_TIMEOUT_SETTINGS = {
    "JOB_LEASE_SECONDS": "15",
    "PLAN_A_START_TIMEOUT": "30",
    "INNGEST_SEND_DEADLINE": "5",
    "INNGEST_PING_SECONDS": "30",
}
"""For a bot that is never killed: on a busy machine, its orders stay on the plan they started on."""

E = TypeVar("E", bound=Environment)


@dataclass(frozen=True)
class EnvironmentFactory:
    """What all environments of a test run share.

    Attributes:
        postgres: The address of the server for their databases.
        folders: Makes a folder for each.
        process_pool: Starts their bots.
    """

    postgres: str
    folders: pytest.TempPathFactory
    process_pool: ProcessPool

    @asynccontextmanager
    async def open(
        self,
        kind: type[E],
        *,
        plan: PlanName | None = None,
        settings: Mapping[str, str] | None = None,
        **parts: Any,
    ) -> AsyncIterator[E]:
        """An open environment.

        Args:
            kind: Its class.
            plan: Starts a bot, which all tests of a module use, each with users of its own: on Plan A, or on Plan B
                because Inngest is closed. Without it, tests start their bots themselves.
            settings: More settings for its bots.
            parts: Further arguments of `kind`, such as another `replicate`.
        """
        async with new_database(self.postgres) as dsn:
            db = await create_pool(dsn, size=20)
            environment = kind(db, dsn, self.folders.mktemp("environment"), self.process_pool, **parts)
            await environment.open()
            environment.settings |= settings or {}
            try:
                if plan is not None:
                    await _start_bot(environment, plan)
                yield environment
            finally:
                await environment.close()
                await db.close()


async def _start_bot(environment: Environment, plan: PlanName) -> None:
    environment.plan = plan
    environment.settings |= LONG_TIMEOUT_SETTINGS
    if plan == "B":
        await environment.inngest.close()
    await environment.start_bot(ready=plan == "A")
