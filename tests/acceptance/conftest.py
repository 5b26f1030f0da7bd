"""The environments of the acceptance tests. A module that needs another one opens it with `environments`."""

from collections.abc import AsyncIterator

import pytest

from tests.support.environments.environment import Environment
from tests.support.environments.factory import EnvironmentFactory
from tests.support.processes.bot_process import ProcessPool


@pytest.fixture(scope="session")
def environments(
    postgres: str, tmp_path_factory: pytest.TempPathFactory, process_pool: ProcessPool
) -> EnvironmentFactory:
    return EnvironmentFactory(postgres, tmp_path_factory, process_pool)


@pytest.fixture
async def environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    """Everything but the bot, which each test starts with its own settings."""
    async with environments.open(Environment) as environment:
        yield environment
