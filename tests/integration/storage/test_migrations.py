"""Migrations: by several processes at once, each once; an applied file that changed is refused."""

import asyncio
import socket
from pathlib import Path

import asyncpg
import pytest

import main
from bot.settings import Settings
from storage.migrations import DatabaseTooOld, MigrationChanged, migrate, read_migrations


async def _migrate(dsn: str, folder: Path) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return await migrate(connection, folder)
    finally:
        await connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "9001_one.sql").write_text("CREATE TABLE one (id int); SELECT pg_sleep(0.05);")
    (tmp_path / "9002_two.sql").write_text("CREATE TABLE two (id int);")
    return tmp_path


async def test_migrate_by_three_processes_at_once_applies_each_file_once(dsn: str, folder: Path) -> None:
    assert sorted(await asyncio.gather(*(_migrate(dsn, folder) for _ in range(3)))) == [0, 0, 2]


async def test_migrate_with_a_changed_file_is_refused_by_its_name(dsn: str, folder: Path) -> None:
    await _migrate(dsn, folder)
    (folder / "9001_one.sql").write_text("CREATE TABLE uno (id int);")
    with pytest.raises(MigrationChanged, match="9001_one"):
        await _migrate(dsn, folder)


async def test_migrate_with_a_failing_file_leaves_nothing_and_can_be_retried(dsn: str, folder: Path) -> None:
    (folder / "9003_bad.sql").write_text("CREATE TABLE three (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _migrate(dsn, folder)
    (folder / "9003_bad.sql").write_text("CREATE TABLE three (id int);")
    assert await _migrate(dsn, folder) == 1


def test_read_migrations_with_a_wrong_file_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1_x.sql").write_text("")
    with pytest.raises(ValueError, match="NNNN_name"):
        read_migrations(tmp_path)


# ---------------------------------------------------------------- databases of other versions
async def test_migrate_database_made_before_the_baseline_is_refused_and_unchanged(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE schema_migrations SET name = '0001_init.sql'")
    await connection.execute(
        "INSERT INTO schema_migrations VALUES ('0002_topups.sql', 'x'), ('0007_reach.sql', 'x')"
    )
    for _ in range(2):  # the second time proves that the advisory lock was released
        with pytest.raises(DatabaseTooOld, match=r"before 0\.2: remove \.data/postgres .* and start again"):
            await migrate(connection)
    assert await connection.fetchval("SELECT count(*) FROM schema_migrations") == 3
    await connection.close()


async def test_migrate_database_with_later_migrations_is_accepted(dsn: str) -> None:
    """An older version has to start on a newer database: that is how one goes back."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO schema_migrations VALUES ('0002_of_a_later_version.sql', 'x')")
    assert await migrate(connection) == 0
    await connection.close()


def test_main_database_made_before_the_baseline_prints_one_line_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(settings: Settings, sockets: list[socket.socket]) -> None:
        raise DatabaseTooOld

    monkeypatch.setattr(main, "read_settings", Settings)
    monkeypatch.setattr(main, "configure_logging", lambda level, log_format: None)
    monkeypatch.setattr(main, "bind_port", lambda stack, settings: [])
    monkeypatch.setattr(main, "run", run)
    assert main.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Diptych cannot start. This database was created by a version before 0.2: remove")
