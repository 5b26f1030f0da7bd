"""Applies `migrations/NNNN_name.sql` in order, each once, however many processes start at the same time."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from storage.pool import Connection

FOLDER = Path(__file__).resolve().parent.parent / "migrations"
_NAME = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")
_DIGITS = 4
_LOCK = 0x64697074  # "dipt": one advisory lock for all processes of this database

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""
_APPLIED = "SELECT name, sha256 FROM schema_migrations"
_RECORD = "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)"


class MigrationChanged(Exception):
    """An applied migration was edited. Write a new migration instead."""


class DatabaseTooOld(Exception):
    """The database was created by a version whose migrations were replaced by a baseline."""

    def __init__(self) -> None:
        super().__init__(
            "This database was created by a version before 0.2: "
            "remove .data/postgres (or create a new database) and start again."
        )


@dataclass(frozen=True)
class Migration:
    """A file of migrations/."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of its text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Read the migrations in their order.

    Raises:
        ValueError: A file is not named NNNN_name.sql.
    """
    files = sorted(folder.glob("*.sql"))
    for path in files:
        if not _NAME.match(path.name):
            raise ValueError(f"{path.name}: a migration must be named NNNN_name.sql")
    return [Migration(path.name, path.read_text(encoding="utf-8")) for path in files]


async def migrate(connection: Connection, folder: Path = FOLDER) -> int:
    """Apply the missing migrations, each in one transaction.

    A database that also has later migrations is accepted, so that an older version can be started again.

    Returns:
        How many were applied.

    Raises:
        DatabaseTooOld: The database has the migrations of a version before the baseline.
        MigrationChanged: A file was edited after it had been applied.
    """
    migrations = read_migrations(folder)
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_CREATE)
        applied = {row["name"]: row["sha256"] for row in await connection.fetch(_APPLIED)}
        _check_same_history(migrations, applied)
        count = 0
        for migration in migrations:
            known = applied.get(migration.name)
            if known == migration.sha256:
                continue
            if known is not None:
                raise MigrationChanged(f"migrations/{migration.name} was changed after it was applied")
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(_RECORD, migration.name, migration.sha256)
            count += 1
        return count
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


def _check_same_history(migrations: Iterable[Migration], applied: Iterable[str]) -> None:
    """Raise DatabaseTooOld if the number of one of our files was applied under another name."""
    names = {migration.name[:_DIGITS]: migration.name for migration in migrations}
    if any(names.get(name[:_DIGITS], name) != name for name in applied):
        raise DatabaseTooOld
