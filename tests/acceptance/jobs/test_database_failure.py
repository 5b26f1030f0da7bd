"""PostgreSQL is killed under the bot: commits survive, and a process that gets SIGTERM ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from bench.chaos.environment import ChaosEnvironment, RestartablePostgres, open_environment
from storage.jobs.jobs import Job, claim_job, claim_next_job, renew_lease
from storage.migrations import migrate
from storage.pool import DATABASE_UNAVAILABLE, create_pool
from tests.support.environments.environment import wait_until
from tests.support.processes.bot_process import ProcessPool
from tests.support.test_data.factories import add_job, add_user

LEASE = 1.5
STOP_SECONDS = 20.0
"""10 seconds are promised on a machine that is not busy."""


@pytest.fixture
async def environment(tmp_path: Path, process_pool: ProcessPool) -> AsyncIterator[ChaosEnvironment]:
    async with open_environment(tmp_path, process_pool, offline=False) as environment:
        yield environment


async def test_sigterm_with_a_dead_database_ends_the_process(environment: ChaosEnvironment) -> None:
    bot = await environment.start_bot()
    await environment.postgres.kill()
    async with asyncio.timeout(STOP_SECONDS):
        await bot.terminate()


async def test_database_kill_loses_no_commit_and_raises_only_known_errors(tmp_path: Path) -> None:
    postgres = RestartablePostgres(tmp_path / "postgres")
    await postgres.start()
    db = await create_pool(postgres.dsn, size=8)
    errors: list[BaseException] = []
    committed: list[int] = []

    async def insert(worker: int) -> None:
        try:
            for number in range(worker * 100_000, (worker + 1) * 100_000):
                await db.execute("INSERT INTO written VALUES ($1)", number)
                committed.append(number)
        except Exception as error:  # noqa: BLE001 - the test checks which errors occur
            errors.append(error)

    async def some_are_committed() -> bool:
        return len(committed) >= 200

    try:
        await db.execute("CREATE TABLE written (number bigint)")
        async with asyncio.TaskGroup() as group:
            for worker in range(8):
                group.create_task(insert(worker))
            await wait_until(some_are_committed, what="some are committed")
            await postgres.kill()
        assert len(errors) == 8
        assert [error for error in errors if not isinstance(error, DATABASE_UNAVAILABLE)] == []
        await postgres.restart()
        connection = await asyncpg.connect(postgres.dsn)
        kept = {row["number"] for row in await connection.fetch("SELECT number FROM written")}
        await connection.close()
        assert set(committed) - kept == set()
    finally:
        db.terminate()
        await postgres.stop()


async def test_takeover_after_a_database_restart_waits_for_the_old_worker(tmp_path: Path) -> None:
    """The lease expired because it could not be renewed, not because the worker died: no takeover at once."""
    postgres = RestartablePostgres(tmp_path / "postgres")
    await postgres.start()
    db = await create_pool(postgres.dsn)
    try:
        async with db.acquire() as connection:
            await migrate(connection)
        await add_user(db)
        job = await claim_job(db, (await add_job(db)).id, "worker", "B", seconds=LEASE)
        assert job
        await postgres.kill()
        outage = asyncio.get_running_loop().create_task(asyncio.sleep(LEASE))
        await asyncio.gather(outage, postgres.restart())

        async def take_over() -> Job | None:
            with suppress(*DATABASE_UNAVAILABLE):  # a connection from before the restart
                return await claim_next_job(db, "another", seconds=LEASE, per_user_limit=2, takeover_services=[])
            return None

        lease_expired = "SELECT claimable_at <= now() FROM jobs WHERE id = $1"
        fresh = await asyncpg.connect(postgres.dsn)
        assert await fresh.fetchval(lease_expired, job.id)
        assert await claim_next_job(fresh, "another", seconds=60, per_user_limit=2, takeover_services=[]) is None
        assert await renew_lease(fresh, job.id, job.epoch, seconds=0.1), "the worker is back"
        await fresh.close()
        taken_over = await wait_until(take_over, what="the worker is gone for good: another has the job")
        assert taken_over.epoch == job.epoch + 1
    finally:
        db.terminate()
        await postgres.stop()
