"""The environment of the acceptance tests: everything but the bot, which each test starts with its own settings."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.pool import Pool
from tests.support.environments.environment import Environment
from tests.support.processes.bot_process import ProcessPool


@pytest.fixture
async def environment(db: Pool, dsn: str, tmp_path: Path, process_pool: ProcessPool) -> AsyncIterator[Environment]:
    environment = Environment(db, dsn, tmp_path, process_pool)
    await environment.open()
    yield environment
    await environment.close()
