from collections.abc import AsyncIterator

import pytest

from tests.contract.environment import ContractEnvironment
from tests.contract.servers import SPEED, available_servers, run_server


@pytest.fixture(scope="session", params=available_servers())
async def environment(request: pytest.FixtureRequest) -> AsyncIterator[ContractEnvironment]:
    async with run_server(request.param) as server:
        environment = ContractEnvironment(server, speed=SPEED.get(request.param, 1.0))
        try:
            await environment.start_app()
            yield environment
        finally:
            await environment.close()
