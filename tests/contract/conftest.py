from collections.abc import AsyncIterator

import pytest

from tests.contract.servers import available, running
from tests.contract.world import World


@pytest.fixture(scope="session", params=available())
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with running(request.param) as server:
        world = World(server)
        try:
            await world.start_app()
            yield world
        finally:
            await world.close()
