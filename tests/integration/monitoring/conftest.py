"""Fixtures for tests of incidents and alerts."""

from collections.abc import AsyncIterator

import pytest

from bot.telegram.bots import create_bots
from services.core.i18n import Texts
from services.messaging.bots import Bots
from services.messaging.messenger import Messenger
from storage.pool import create_pool
from storage.users.users import set_language
from tests.support.environments.database import new_database
from tests.support.environments.environment import BOT_TOKEN, SandboxTelegram
from tests.support.environments.incidents import (
    ADMIN_EN,
    ADMIN_RU,
    USER,
    FakeInngest,
    IncidentSimulation,
    SimulatedClock,
)
from tests.support.test_data.factories import add_user


@pytest.fixture(scope="module")
async def simulation_telegram() -> AsyncIterator[SandboxTelegram]:
    server = SandboxTelegram()
    await server.start()
    yield server
    await server.close()


@pytest.fixture(scope="module")
async def simulation_messenger(postgres: str, simulation_telegram: SandboxTelegram) -> AsyncIterator[Messenger]:
    """One messenger for all tests here, with a database of its own, which each simulation empties first."""
    async with new_database(postgres) as dsn:
        db = await create_pool(dsn, size=10)
        bots = create_bots({"main": BOT_TOKEN}, simulation_telegram.url)
        yield Messenger(db, Bots(bots), Texts())
        await bots["main"].session.close()
        await db.close()


@pytest.fixture
async def simulation(simulation_messenger: Messenger, simulation_telegram: SandboxTelegram) -> IncidentSimulation:
    """An empty database, two admins and a user."""
    messenger, db, telegram = simulation_messenger, simulation_messenger.db, simulation_telegram
    await db.execute("TRUNCATE users, settings, incidents RESTART IDENTITY CASCADE")
    await telegram.api.post("reset")
    await messenger.bots.get("main").get_me()
    for user_id in (ADMIN_EN, ADMIN_RU, USER):
        await telegram.api.post("message", text="/start", user_id=user_id)
        await add_user(db, user_id)
    await set_language(db, ADMIN_RU, "ru")
    clock = SimulatedClock()
    return IncidentSimulation(db, telegram, messenger, clock, FakeInngest(clock))
