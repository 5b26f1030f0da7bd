"""The stage of the acceptance tests: everything but the bot, which each test starts as it needs it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.pool import Pool
from tests.support.environments.environment import Stage
from tests.support.processes.bot_process import Forge


@pytest.fixture
async def stage(db: Pool, dsn: str, tmp_path: Path, forge: Forge) -> AsyncIterator[Stage]:
    stage = Stage(db, dsn, tmp_path, forge)
    await stage.open()
    yield stage
    await stage.close()
