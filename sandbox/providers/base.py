"""What all offline providers share: they keep records on disk, and some words make them fail, to try that with.

docs/how-to/try-failures.md lists the words. They work in a prompt, in a spoken text, and in the name of a voice.
"""

import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from providers.protocols import ErrorKind, PredictionKind, ProviderError

REJECTIONS = {"#input": "bad_input", "#quota": "quota", "#busy": "overloaded", "#limit": "rate_limited"}
FAILURES = {"#fail": "failed", "#nsfw": "moderation", "#timeout": "timed_out"}
SLOWDOWNS = {"#slow": 20.0, "#never": float("inf")}
_Record = TypeVar("_Record", bound=BaseModel)


class OfflineService:
    """A provider on this machine."""

    name = "offline"
    offline = True

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""


def raise_if_triggered(triggers: dict[str, str], text: str) -> None:
    """Raise ProviderError where a text contains one of the words, as a word of its own."""
    for word in set(text.lower().split()) & set(triggers):
        wait = 2.0 if word == "#limit" else None
        raise ProviderError(ErrorKind(triggers[word]), f"offline: the text says {word}", retry_after=wait)


class Folder:
    """Records, a file each. Several processes may use it at once: every write is one rename."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file. Raises ProviderError: OVERLOADED where the disk is full or cannot be written."""
        written = self.path / f".{name}.{secrets.token_hex(4)}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            written.write_bytes(data)
            written.replace(self.path / name)
        except OSError as error:
            raise ProviderError(ErrorKind.OVERLOADED, f"offline: {error.strerror}") from error

    def save(self, record_id: str, record: BaseModel) -> None:
        """Create or replace a record."""
        self.write(f"{record_id}.json", record.model_dump_json().encode())

    def load(self, kind: type[_Record], record_id: str) -> _Record:
        """A record. Raises ProviderError: NOT_FOUND where there is none, FAILED where it is damaged."""
        try:
            return kind.model_validate_json(self._path(record_id).read_bytes())
        except FileNotFoundError:
            raise ProviderError(ErrorKind.NOT_FOUND, "offline: no such prediction, voice or model") from None
        except ValidationError:
            raise ProviderError(ErrorKind.FAILED, "offline: a damaged file") from None

    def load_all(self, kind: type[_Record], pattern: str) -> list[tuple[str, _Record]]:
        """The records whose ids match a glob pattern, with their ids."""
        return [(path.stem, self.load(kind, path.stem)) for path in self.path.glob(f"{pattern}.json")]

    def delete(self, record_id: str) -> None:
        """Delete a record; one that does not exist is no error."""
        self._path(record_id).unlink(missing_ok=True)

    def _path(self, record_id: str) -> Path:
        return self.path / f"{re.sub('[^0-9A-Za-z-]', '', record_id)}.json"


class StoredPrediction(BaseModel):
    """One accepted prediction. `files` are the names of its input files, whose bytes are stored next to it."""

    id: str
    kind: PredictionKind
    model: str
    input: dict[str, Any]
    seed: int
    files: tuple[str, ...]
    created_at: datetime
    cancelled_at: datetime | None = None

    @property
    def user_text(self) -> str:
        """What a user wrote, in lower case: where the fault triggers are looked for."""
        return f"{self.input.get('prompt', '')} {self.input.get('name', '')}".lower()
