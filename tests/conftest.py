"""What all tests share: a PostgreSQL of their own, a fresh database for each test that asks for one, the forge."""

import gc
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.migrations import migrate
from storage.pool import Pool, create_pool
from tests.support.processes.bot_process import ProcessPool, skip_certificate_loading

skip_certificate_loading()
gc.disable()  # while the tests are imported, which makes much and drops nothing


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def _with_database(dsn: str, name: str) -> str:
    return f"{dsn.rpartition('/')[0]}/{name}"


_SHARED_MEMORY = Path("/dev/shm")
_MIN_FREE_BYTES = 2 << 30


def _in_memory_folder(usual: Path) -> Path:
    """A folder in memory where there is room: on a disk each new database is three hundred files to be made."""
    if os.access(_SHARED_MEMORY, os.W_OK) and shutil.disk_usage(_SHARED_MEMORY).free > _MIN_FREE_BYTES:
        return Path(tempfile.mkdtemp(dir=_SHARED_MEMORY, prefix="diptych-tests-"))
    return usual


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a server whose database `template` has all migrations."""
    folder = _in_memory_folder(tmp_path_factory.mktemp("postgres"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder.parent))  # as root the server leaves the folder for there
        server = EmbeddedPostgres(folder, options=("-c", "max_connections=200", "-c", "max_wal_size=64MB"))
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    # A login is 4096 rounds of hashing on both sides; there is nobody to be kept out.
    password = urlsplit(server.dsn).password
    await connection.execute(f"SET scram_iterations = 1; ALTER ROLE postgres PASSWORD '{password}'")
    await connection.execute("CREATE DATABASE template")
    await connection.close()
    connection = await asyncpg.connect(_with_database(server.dsn, "template"))
    await migrate(connection)
    await connection.close()
    yield server.dsn
    await server.stop()
    for each in {folder, server._home}:
        shutil.rmtree(each)


@pytest.fixture
async def dsn(postgres: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
    yield _with_database(postgres, name)
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Pool]:
    pool = await create_pool(dsn, size=20)
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
async def process_pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProcessPool]:
    folder = tmp_path_factory.getbasetemp()
    process_pool = ProcessPool(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)
    await process_pool.open()
    yield process_pool
    await process_pool.close()
