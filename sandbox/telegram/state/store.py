"""What survives when the process is killed: JSON records in one SQLite file.

The server works on its objects in memory, and writes a record before it answers the call that changed it.
``synchronous=OFF`` is enough: a killed process loses nothing that the kernel has already received, and a
sandbox need not survive a power failure.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sandbox.telegram.json_types import Json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind  TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""
_PUT = "INSERT INTO records (kind, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_DROP = "DELETE FROM records WHERE kind = ? AND key = ?"


class Store:
    """Records by kind and key."""

    def __init__(self, folder: Path | None) -> None:
        """Open the store.

        Args:
            folder: Where the file is, created if missing; None keeps nothing and makes all methods do nothing.
        """
        self._database: sqlite3.Connection | None = None
        self._waiting: dict[tuple[str, str], Json | None] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / "telegram.sqlite3", isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=OFF")
            self._database.execute(_SCHEMA)

    def load(self, kind: str) -> Iterator[tuple[str, Json]]:
        """Yield the key and the value of every record of a kind, ordered by key."""
        if self._database is None:
            return
        rows = self._database.execute("SELECT key, value FROM records WHERE kind = ? ORDER BY key", (kind,))
        for key, value in rows.fetchall():
            yield key, json.loads(value)

    def save(self, kind: str, key: str | int, value: Json) -> None:
        """Mark a record to be written by the next ``commit``, which reads the value at that time."""
        if self._database is not None:
            self._waiting[kind, str(key)] = value

    def delete(self, kind: str, key: str | int) -> None:
        """Mark a record to be deleted by the next ``commit``."""
        if self._database is not None:
            self._waiting[kind, str(key)] = None

    def commit(self) -> None:
        """Write and delete all marked records, in one transaction."""
        if self._database is None or not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        self._database.execute("BEGIN")
        for (kind, key), value in waiting.items():
            if value is None:
                self._database.execute(_DROP, (kind, key))
            else:
                self._database.execute(_PUT, (kind, key, json.dumps(value, ensure_ascii=False)))
        self._database.execute("COMMIT")

    def clear(self) -> None:
        """Delete every record at once."""
        self._waiting.clear()
        if self._database is not None:
            self._database.execute("DELETE FROM records")

    def close(self) -> None:
        """Commit and close the file."""
        self.commit()
        if self._database is not None:
            self._database.close()
            self._database = None
