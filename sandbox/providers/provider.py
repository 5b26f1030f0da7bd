"""Predictions without a provider: files, whose progress follows from the time, and whose media from their input.

So a process that was killed and started again polls the same prediction and fetches the same bytes.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from providers.protocols import ErrorKind, Prediction, PredictionRequest, ProviderError
from sandbox.providers import base
from sandbox.providers.base import Folder, StoredPrediction
from sandbox.providers.renderers import outputs, prepare, render

_QUEUED_FRACTION = 0.15
"""The first part of the time is spent waiting, as at a real provider."""
_now = partial(datetime.now, UTC)


class OfflineProvider(base.OfflineService):
    """PredictionProvider and TrainingProvider on this machine. A prediction takes so many seconds.

    `data_dir` is the folder of predictions and trained models; `clock` is the time, for tests.
    """

    uses_webhooks = False

    def __init__(self, data_dir: Path, *, seconds: float = 1.5, clock: Callable[[], datetime] = _now) -> None:
        self._store, self._styles = Folder(data_dir), Folder(data_dir / "models")
        self._seconds, self._clock = seconds, clock
        self._render_slots = asyncio.Semaphore(2)

    async def start(self, request: PredictionRequest) -> str:
        """Store the prediction and return its id."""
        about = vars(request) | {"id": f"{request.seed}x{secrets.token_hex(8)}", "files": tuple(request.files)}
        record = StoredPrediction(**about, created_at=self._clock())
        base.raise_if_triggered(base.REJECTIONS, record.user_text)
        await asyncio.to_thread(prepare, record, request.files, self._styles)
        for number, data in enumerate(request.files.values()):
            self._store.write(f"{record.id}.{number}", data)
        self._store.save(record.id, record)  # last, so that a prediction that is there has its files
        return record.id

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        wanted = (request.kind, request.model, dict(request.input))
        found = [record for _, record in self._store.load_all(StoredPrediction, f"{request.seed}x*")]
        same = [record for record in found if (record.kind, record.model, record.input) == wanted]
        newest = max(same, key=lambda record: record.created_at, default=None)
        return newest.id if newest and newest.created_at >= since - timedelta(seconds=1) else None

    async def get(self, prediction_id: str) -> Prediction:
        record = self._store.load(StoredPrediction, prediction_id)
        part = (self._fraction_done(record) - _QUEUED_FRACTION) / (1 - _QUEUED_FRACTION)
        if record.cancelled_at is not None:
            return Prediction(record.id, "cancelled")
        if part < 0:
            return Prediction(record.id, "queued")
        if part < 1:
            return Prediction(record.id, "running", round(100 * part))
        try:
            base.raise_if_triggered(base.FAILURES, record.user_text)
        except ProviderError as failure:
            return Prediction(record.id, "failed", error=failure.kind, error_detail=failure.detail)
        return Prediction(record.id, "succeeded", 100, outputs(record))

    async def fetch(self, output: str) -> bytes:
        """Make the media: the same bytes for the same prediction, at every call."""
        prediction_id, _, number = output.removeprefix("offline:").partition("/")
        record = self._store.load(StoredPrediction, prediction_id)
        if output not in outputs(record):
            raise ProviderError(ErrorKind.NOT_FOUND, "offline: no such output")
        try:
            paths = [self._store.path / f"{record.id}.{number}" for number in range(len(record.files))]
            files = {name: path.read_bytes() for name, path in zip(record.files, paths, strict=True)}
            async with self._render_slots:
                return await asyncio.to_thread(render, record, files, int(number), self._styles)
        except (OSError, ValueError) as error:
            raise ProviderError(ErrorKind.FAILED, f"offline: {type(error).__name__} {error}") from error

    async def cancel(self, prediction_id: str) -> None:
        record = self._store.load(StoredPrediction, prediction_id)
        if record.cancelled_at is None and self._fraction_done(record) < 1:
            record.cancelled_at = self._clock()
            self._store.save(record.id, record)

    async def delete_model(self, model: str) -> None:
        """Delete a trained model; one that does not exist any more is no error."""
        self._styles.delete(model.rpartition(":")[2])

    def _fraction_done(self, record: StoredPrediction) -> float:
        words = record.user_text.split()
        slowdown = max((factor for word, factor in base.SLOWDOWNS.items() if word in words), default=1)
        elapsed = (self._clock() - record.created_at).total_seconds()
        return elapsed / (self._seconds * slowdown) if self._seconds else 1.0
