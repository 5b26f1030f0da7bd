"""What tests of incidents and alerts share."""

import secrets
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest

from bot.telegram.bots import create_bots
from services.core.i18n import Texts
from services.messaging.app_context import Studio
from storage.pool import create_pool
from storage.users.users import set_language
from tests.support.environments.environment import BOT_TOKEN, TelegramStand
from tests.support.environments.incidents import ANN, BORIS, PERSON, Clock, House, Inngest
from tests.support.test_data.factories import add_user


@pytest.fixture(scope="module")
async def house_telegram() -> AsyncIterator[TelegramStand]:
    stand = TelegramStand()
    await stand.start()
    yield stand
    await stand.close()


@pytest.fixture(scope="module")
async def house_studio(postgres: str, house_telegram: TelegramStand) -> AsyncIterator[Studio]:
    """One for all tests here, with a database of their own: each house begins by emptying it."""
    server, name = await asyncpg.connect(postgres), f"incidents_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    db = await create_pool(f"{postgres.rpartition('/')[0]}/{name}", size=10)
    bots = create_bots({"main": BOT_TOKEN}, house_telegram.url)
    yield Studio(db, bots, Texts(), cast("Any", None), frozenset({ANN, BORIS}))
    await bots["main"].session.close()
    await db.close()
    await server.execute(f"DROP DATABASE {name}")
    await server.close()


@pytest.fixture
async def house(house_studio: Studio, house_telegram: TelegramStand) -> House:
    studio, db, telegram = house_studio, house_studio.db, house_telegram
    await db.execute("TRUNCATE users, settings, incidents RESTART IDENTITY CASCADE")
    await telegram.call("POST", "/sim/reset")
    await studio.bots["main"].get_me()
    for user_id in (ANN, BORIS, PERSON):
        await telegram.call("POST", "/sim/message", {"text": "/start", "user_id": user_id})
        await add_user(db, user_id)
    await set_language(db, BORIS, "ru")
    clock = Clock()
    return House(db, telegram, studio, clock, Inngest(clock))
