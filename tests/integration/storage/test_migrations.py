"""Migrations: by several processes at once, each once; an applied file that changed is refused."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from storage.migrations import MigrationChanged, migrate, read_migrations


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


async def test_three_at_once_apply_each_file_once(dsn: str, folder: Path) -> None:
    assert sorted(await asyncio.gather(*(_migrate(dsn, folder) for _ in range(3)))) == [0, 0, 2]


async def test_a_changed_applied_file_is_refused_by_name(dsn: str, folder: Path) -> None:
    await _migrate(dsn, folder)
    (folder / "9001_one.sql").write_text("CREATE TABLE uno (id int);")
    with pytest.raises(MigrationChanged, match="9001_one"):
        await _migrate(dsn, folder)


async def test_a_file_that_fails_leaves_nothing_and_is_tried_again(dsn: str, folder: Path) -> None:
    (folder / "9003_bad.sql").write_text("CREATE TABLE three (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await _migrate(dsn, folder)
    (folder / "9003_bad.sql").write_text("CREATE TABLE three (id int);")
    assert await _migrate(dsn, folder) == 1


def test_a_name_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1_x.sql").write_text("")
    with pytest.raises(ValueError, match="NNNN_name"):
        read_migrations(tmp_path)
