"""What the offline providers keep on disk, so that a new process finds the old one's work."""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from providers.protocols import ErrorKind, PredictionKind, PredictionRequest, ProviderError

_Record = TypeVar("_Record", bound=BaseModel)


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
        """Everything in the input that a user wrote: where the fault triggers are looked for."""
        return " ".join(str(self.input[key]) for key in ("prompt", "name") if self.input.get(key))


class PredictionStore(Folder):
    """The folder of predictions."""

    def add(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        """Store a prediction. Its files are written first, so that a prediction that is there has them."""
        for number, name in enumerate(record.files):
            self.write(f"{record.id}.{number}", files[name])
        self.save(record.id, record)

    def files(self, record: StoredPrediction) -> dict[str, bytes]:
        """The input files of a prediction, by the names of the inputs."""
        return {name: (self.path / f"{record.id}.{at}").read_bytes() for at, name in enumerate(record.files)}

    def find(self, request: PredictionRequest, since: datetime) -> list[StoredPrediction]:
        """The predictions of a request that are not older than a time, the oldest first."""
        wanted = (request.kind, request.model, dict(request.input))
        found = [record for _, record in self.load_all(StoredPrediction, f"{request.seed}x*")]
        same = [it for it in found if (it.kind, it.model, it.input) == wanted and it.created_at >= since]
        return sorted(same, key=lambda record: record.created_at)
