"""What survives when the process is killed: JSON records in one SQLite file.

The server works on its objects in memory, and writes a record before it answers the call that changed it.
``synchronous=OFF`` is enough: a killed process loses nothing that the kernel has already received, and a
sandbox need not survive a power failure.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from sandbox.telegram.json_types import Json

Record = TypeVar("Record")

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
    """Dataclass objects by kind and key. A field with ``init=False`` is not kept."""

    def __init__(self, folder: Path | None) -> None:
        """Open the store.

        Args:
            folder: Where the file is, created if missing; None keeps nothing and makes all methods do nothing.
        """
        self._database: sqlite3.Connection | None = None
        self._waiting: dict[tuple[str, str], object | None] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / "telegram.sqlite3", isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=OFF")
            self._database.execute(_SCHEMA)

    def load(self, kind: str, cls: type[Record]) -> Iterator[tuple[tuple[Any, ...], Record]]:
        """Yield every object of a kind with the parts of its key, ordered by key; numbers are ints.

        Args:
            kind: The kind of the records.
            cls: The dataclass of the objects. What a record has besides its fields is ignored.
        """
        if self._database is None:
            return
        known: Any = cls
        names = {field.name for field in fields(known) if field.init}
        rows = self._database.execute("SELECT key, value FROM records WHERE kind = ?", (kind,))
        for key, value in sorted(((_parse_key(key), value) for key, value in rows), key=lambda row: row[0]):
            yield key, cls(**{name: part for name, part in json.loads(value).items() if name in names})

    def save(self, kind: str, key: str | int, value: object) -> None:
        """Mark an object to be written by the next ``commit``, as it is at that time."""
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
                record = json.dumps(value, ensure_ascii=False, default=_to_record)
                self._database.execute(_PUT, (kind, key, record))
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


def _to_record(value: Any) -> Json:
    return {field.name: getattr(value, field.name) for field in fields(value) if field.init}


def _parse_key(key: str) -> tuple[int | str, ...]:
    return tuple(int(part) if part.lstrip("-").isdigit() else part for part in key.split(":"))
