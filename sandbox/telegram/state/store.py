"""What survives a kill of the stand: JSON records in one SQLite file.

The stand works on its objects in memory; a record is written through before the call that
changed it is answered. ``synchronous=OFF`` is enough: a killed process loses nothing that it
has handed to the kernel, and a power cut is no concern of a stand-in.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

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
    """Records by kind and key. Without a folder nothing is kept and every write is free."""

    def __init__(self, folder: Path | None) -> None:
        self._database: sqlite3.Connection | None = None
        self._waiting: dict[tuple[str, str], Json | None] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / "telegram.sqlite3", isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=OFF")
            self._database.execute(_SCHEMA)

    def load(self, kind: str) -> Iterator[tuple[str, Json]]:
        """Every record of a kind, in the order of their keys."""
        if self._database is None:
            return
        rows = self._database.execute("SELECT key, value FROM records WHERE kind = ? ORDER BY key", (kind,))
        for key, value in rows.fetchall():
            yield key, json.loads(value)

    def save(self, kind: str, key: str | int, value: Json) -> None:
        """Note a record to be written by the next ``commit``; the value is read then."""
        if self._database is not None:
            self._waiting[kind, str(key)] = value

    def delete(self, kind: str, key: str | int) -> None:
        """Note a record to be removed by the next ``commit``."""
        if self._database is not None:
            self._waiting[kind, str(key)] = None

    def commit(self) -> None:
        """Write what was noted, in one transaction."""
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
        """Remove every record."""
        self._waiting.clear()
        if self._database is not None:
            self._database.execute("DELETE FROM records")

    def close(self) -> None:
        """Write what was noted and close the file."""
        self.commit()
        if self._database is not None:
            self._database.close()
            self._database = None
