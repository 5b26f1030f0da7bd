"""What all tests share: a PostgreSQL, a fresh database for each test that asks for one, and bot processes.

A test run that is killed leaves nothing behind: the server's supervisor and the process pool notice that nobody is
connected to them any more, pytest's workers end with the process that started them, and its folder is removed.
"""

import gc
import os
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

# Before anything of these is imported: a failing assertion in them shows its values, as in a test.
pytest.register_assert_rewrite("tests.support", "tests.acceptance", "tests.contract")

from sandbox.postgres.client import EmbeddedPostgres
from storage.migrations import migrate
from storage.pool import Pool, create_pool
from tests.support.environments.database import TEMPLATE, new_database, with_database
from tests.support.logs import log_to_stderr
from tests.support.processes.bot_process import ProcessPool, skip_certificate_loading
from tests.support.processes.orphans import kill_with_parent, removed_when_killed
from tests.support.processes.server_folder import new_server_folder

_IS_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if _IS_XDIST_WORKER:
    kill_with_parent()
skip_certificate_loading()
log_to_stderr()
gc.disable()  # while the tests are imported, which makes much and drops nothing
_TESTS = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by folder, which puts the long acceptance tests first: nobody waits for one that begins last.

    Within a folder the order stays random. Coverage is measured by the unit and integration tests only: the others
    run the bot in another process, and tracing what drives it costs half a minute.
    """
    items.sort(key=lambda item: item.path.relative_to(_TESTS).parts[0])
    for item in items:
        if item.path.relative_to(_TESTS).parts[0] in ("acceptance", "browser", "contract"):
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the seed, which `-q` hides, so that the order can be repeated."""
    if config.pluginmanager.hasplugin("randomly"):
        terminalreporter.write_line(
            f"The order was random; to repeat it: --randomly-seed={config.option.randomly_seed}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    if _IS_XDIST_WORKER:
        return (yield)
    with removed_when_killed(session.config._tmp_path_factory.getbasetemp()):  # type: ignore[attr-defined]  # noqa: SLF001 - pytest gives it to fixtures only, which xdist's controller has none of
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What this process keeps in temporary files is in pytest's folder, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
        yield


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[str]:
    """The address of a server whose database `template` has all migrations."""
    options = ("-c", "max_connections=200", "-c", "max_wal_size=64MB")
    server = EmbeddedPostgres(new_server_folder(), options=options, temporary=True)
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    # A login is 4096 rounds of hashing on both sides; there is nobody to be kept out.
    password = urlsplit(server.dsn).password
    await connection.execute(f"SET scram_iterations = 1; ALTER ROLE postgres PASSWORD '{password}'")
    await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    await connection.close()
    connection = await asyncpg.connect(with_database(server.dsn, TEMPLATE))
    await migrate(connection)
    await connection.close()
    yield server.dsn
    await server.stop()


@pytest.fixture
async def dsn(postgres: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    async with new_database(postgres) as dsn:
        yield dsn


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Pool]:
    pool = await create_pool(dsn, size=20)
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
async def process_pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProcessPool]:
    folder = tmp_path_factory.getbasetemp()
    process_pool = ProcessPool(folder.parent if _IS_XDIST_WORKER else folder)
    await process_pool.open()
    yield process_pool
    await process_pool.close()
