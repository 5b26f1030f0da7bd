"""PostgreSQL dies under the bot: what was committed is there again, and a process that is told to stop ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from bench.chaos_stage import ChaosStage, LastingPostgres, open_stage
from storage.pool import DATABASE_AWAY, create_pool
from tests.support.process import Forge
from tests.support.stage import until

STOPS_WITHIN = 20.0
"""Seconds; 10 is the promise, on a machine that is not busy."""


@pytest.fixture
async def stage(tmp_path: Path, forge: Forge) -> AsyncIterator[ChaosStage]:
    async with open_stage(tmp_path, forge, offline=False) as stage:
        yield stage


async def test_a_process_ends_when_told_to_though_its_database_is_dead(stage: ChaosStage) -> None:
    bot = await stage.start_bot()
    await stage.postgres.kill()
    async with asyncio.timeout(STOPS_WITHIN):
        await bot.terminate()


async def test_whatever_was_committed_outlives_a_kill_and_every_error_is_known(tmp_path: Path) -> None:
    postgres = LastingPostgres(tmp_path / "postgres")
    await postgres.start()
    db = await create_pool(postgres.dsn, size=8)
    errors: list[BaseException] = []
    committed: list[int] = []

    async def insert(worker: int) -> None:
        try:
            for number in range(worker * 100_000, (worker + 1) * 100_000):
                await db.execute("INSERT INTO written VALUES ($1)", number)
                committed.append(number)
        except Exception as error:  # noqa: BLE001 - which ones there are is what is asked
            errors.append(error)

    async def some_are_committed() -> bool:
        return len(committed) >= 200

    try:
        await db.execute("CREATE TABLE written (number bigint)")
        async with asyncio.TaskGroup() as group:
            for worker in range(8):
                group.create_task(insert(worker))
            await until(some_are_committed, what="some are committed")
            await postgres.kill()
        assert len(errors) == 8
        assert [error for error in errors if not isinstance(error, DATABASE_AWAY)] == []
        await postgres.begin_again()
        connection = await asyncpg.connect(postgres.dsn)
        kept = {row["number"] for row in await connection.fetch("SELECT number FROM written")}
        await connection.close()
        assert set(committed) - kept == set()
    finally:
        db.terminate()
        await postgres.stop()
        postgres.remove()
