from collections.abc import AsyncIterator

import pytest

from tests.contract.environment import World
from tests.contract.servers import SPEED, available, running


@pytest.fixture(scope="session", params=available())
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with running(request.param) as server:
        world = World(server, speed=SPEED.get(request.param, 1.0))
        try:
            await world.start_app()
            yield world
        finally:
            await world.close()
