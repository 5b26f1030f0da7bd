"""What all tests share: a PostgreSQL of their own, and a fresh database for each test that asks for one."""

import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.migrations import migrate
from storage.pool import Pool, create_pool


def _with_database(dsn: str, name: str) -> str:
    return f"{dsn.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a server whose database `template` has all migrations."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), options=("-c", "max_connections=200"))
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("CREATE DATABASE template")
    await connection.close()
    connection = await asyncpg.connect(_with_database(server.dsn, "template"))
    await migrate(connection)
    await connection.close()
    yield server.dsn
    await server.stop()


@pytest.fixture
async def dsn(postgres: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template")
    yield _with_database(postgres, name)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Pool]:
    pool = await create_pool(dsn, size=20)
    yield pool
    await pool.close()
