"""Applies `migrations/NNNN_name.sql` in order, each once, by however many processes start together."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from storage.pool import Connection

FOLDER = Path(__file__).resolve().parent.parent / "migrations"
_NAME = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")
_LOCK = 0x64697074  # "dipt": one advisory lock for all processes of this database

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""
_APPLIED = "SELECT name, sha256 FROM schema_migrations"
_RECORD = "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)"


class MigrationChanged(Exception):
    """A migration that was applied has another text now; write a new one instead."""


@dataclass(frozen=True)
class Migration:
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """The migrations in their order. Raises ValueError for a file whose name does not fit."""
    found = sorted(folder.glob("*.sql"))
    for path in found:
        if not _NAME.match(path.name):
            raise ValueError(f"{path.name}: a migration is named NNNN_name.sql")
    return [Migration(path.name, path.read_text(encoding="utf-8")) for path in found]


async def migrate(connection: Connection, folder: Path = FOLDER) -> int:
    """Apply what is missing and return how many files were applied.

    Raises MigrationChanged when an applied file was edited since. Each file is one transaction.
    """
    migrations = read_migrations(folder)
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(_CREATE)
        applied = {row["name"]: row["sha256"] for row in await connection.fetch(_APPLIED)}
        count = 0
        for migration in migrations:
            known = applied.get(migration.name)
            if known == migration.sha256:
                continue
            if known is not None:
                raise MigrationChanged(f"migrations/{migration.name} was changed after it had been applied")
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(_RECORD, migration.name, migration.sha256)
            count += 1
        return count
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
