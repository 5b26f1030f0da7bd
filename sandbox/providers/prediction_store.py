"""Offline predictions on disk: one JSON file each, so that a new process finds the old one's work."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from providers.protocols import ErrorKind, PredictionKind, PredictionRequest, ProviderError

RETENTION = timedelta(days=7)
"""How long a prediction and its input files stay."""


class StoredPrediction(BaseModel):
    """One accepted prediction."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: PredictionKind
    model: str
    input: dict[str, Any]
    seed: int
    files: tuple[str, ...] = Field(default=())
    """The names of its input files; their bytes are stored next to it."""
    created_at: datetime
    cancelled_at: datetime | None = None

    @property
    def prompt(self) -> str:
        return str(self.input.get("prompt", ""))

    @property
    def user_text(self) -> str:
        """Everything in the input that a user wrote: where the words of fault_triggers.py are looked for."""
        return user_text_of(self.input)


def new_prediction(request: PredictionRequest, now: datetime) -> StoredPrediction:
    return StoredPrediction(
        id=f"{_request_digest(request)}-{secrets.token_hex(6)}",
        kind=request.kind,
        model=request.model,
        input=dict(request.input),
        seed=request.seed,
        files=tuple(request.files),
        created_at=now,
    )


def user_text_of(given: Mapping[str, object]) -> str:
    return " ".join(str(given[key]) for key in ("prompt", "name") if given.get(key))


def output_references(record: StoredPrediction, count: int) -> tuple[str, ...]:
    """What `fetch` takes, for each of a prediction's files."""
    return tuple(f"offline:{record.id}/{number}" for number in range(count))


class PredictionStore:
    """The folder of predictions. Several processes may use it at once: every write is one rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, record: StoredPrediction, files: Mapping[str, bytes]) -> None:
        """Write the files down first, so that a prediction that is there has them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(record.files):
            self._write(f"{record.id}.{number}", files[name])
        self.save(record)

    def save(self, record: StoredPrediction) -> None:
        self._write(f"{record.id}.json", record.model_dump_json().encode())

    def load(self, prediction_id: str) -> StoredPrediction:
        path = self._folder / f"{prediction_id}.json"
        if not prediction_id.replace("-", "").isalnum() or not path.is_file():
            raise ProviderError(ErrorKind.NOT_FOUND, "offline: no such prediction")
        try:
            return StoredPrediction.model_validate_json(path.read_bytes())
        except ValidationError:
            raise ProviderError(ErrorKind.FAILED, "offline: a damaged prediction file") from None

    def files(self, record: StoredPrediction) -> dict[str, bytes]:
        """The input files of a prediction, by the names of the inputs."""
        return {
            name: (self._folder / f"{record.id}.{number}").read_bytes() for number, name in enumerate(record.files)
        }

    def find_matching(self, request: PredictionRequest) -> Iterator[StoredPrediction]:
        """Every prediction with this request's kind, model, input and seed."""
        for path in self._folder.glob(f"{_request_digest(request)}-*.json"):
            yield self.load(path.stem)

    def delete_expired(self, now: datetime) -> None:
        """Remove what is older than RETENTION; another process may be doing the same."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            try:
                old = path.stat().st_mtime < (now - RETENTION).timestamp()
            except FileNotFoundError:
                continue
            if old and path.is_file():
                path.unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        written = self._folder / f".{name}.{secrets.token_hex(4)}"
        written.write_bytes(data)
        written.replace(self._folder / name)


def _request_digest(request: PredictionRequest) -> str:
    """The same for the same kind, model, input and seed, in any process."""
    given: Mapping[str, object] = request.input
    content = json.dumps([request.kind, request.model, dict(given), request.seed], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:20]
