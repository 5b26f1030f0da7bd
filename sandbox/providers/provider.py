"""OfflineProvider: predictions without a provider. They take their time, may fail, and survive a restart.

A prediction is a file; its progress follows from the time since it was accepted, and its media from its
input and seed. So a process that was killed and started again polls the same prediction and fetches the
same bytes. sandbox/providers/fault_triggers.py lists the words that make a prompt fail.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from providers.protocols import ErrorKind, Prediction, PredictionRequest, ProviderError
from sandbox.providers.fault_triggers import raise_if_rejected, slowdown_factor, triggered_failure
from sandbox.providers.prediction_store import PredictionStore, StoredPrediction, new_prediction, user_text_of
from sandbox.providers.renderers import build_renderers
from sandbox.providers.trained_styles import StyleStore

_QUEUED_FRACTION = 0.15
"""The first part of the time is spent waiting, as at a real provider."""
_MAX_CONCURRENT_RENDERS = 2


def _now() -> datetime:
    return datetime.now(UTC)


class OfflineProvider:
    """PredictionProvider of images, videos, lip-syncs and trainings (TrainingProvider) on this machine.

    Args:
        data_dir: The folder of predictions and trained models.
        seconds: What a prediction takes.
        clock: The time, for tests.
    """

    name = "offline"
    offline = True
    uses_webhooks = False

    def __init__(self, data_dir: Path, *, seconds: float = 1.5, clock: Callable[[], datetime] = _now) -> None:
        self._store = PredictionStore(data_dir)
        self._styles = StyleStore(data_dir / "models")
        self._renderers = build_renderers(self._styles)
        self._seconds = seconds
        self._clock = clock
        self._render_slots = asyncio.Semaphore(_MAX_CONCURRENT_RENDERS)
        self._purged = False

    async def start(self, request: PredictionRequest) -> str:
        """Store the prediction and return its id."""
        raise_if_rejected(user_text_of(request.input))
        now = self._clock()
        record = new_prediction(request, now)
        if not self._purged:
            self._purged = True
            await asyncio.to_thread(self._store.delete_expired, now)
        try:
            await asyncio.to_thread(self._renderers[request.kind].validate, record, request.files)
            await asyncio.to_thread(self._store.add, record, request.files)
        except OSError as error:
            raise ProviderError(ErrorKind.OVERLOADED, f"offline: {error.strerror}") from error
        return record.id

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        found = await asyncio.to_thread(lambda: list(self._store.find_matching(request)))
        since_then = [record for record in found if record.created_at >= since - timedelta(seconds=1)]
        return max(since_then, key=lambda record: record.created_at).id if since_then else None

    async def get(self, prediction_id: str) -> Prediction:
        record = self._store.load(prediction_id)
        if record.cancelled_at is not None:
            return Prediction(record.id, "cancelled")
        part = self._fraction_done(record)
        if part < _QUEUED_FRACTION:
            return Prediction(record.id, "queued")
        if part < 1:
            return Prediction(
                record.id, "running", round(100 * (part - _QUEUED_FRACTION) / (1 - _QUEUED_FRACTION))
            )
        if (failure := triggered_failure(record.user_text)) is not None:
            return Prediction(record.id, "failed", error=failure[0], error_detail=failure[1])
        return Prediction(record.id, "succeeded", 100, self._renderers[record.kind].outputs(record))

    async def fetch(self, output: str) -> bytes:
        """Make the media: the same bytes for the same prediction, at every call."""
        prediction_id, _, number = output.removeprefix("offline:").partition("/")
        record = self._store.load(prediction_id)
        renderer = self._renderers[record.kind]
        if output not in renderer.outputs(record):
            raise ProviderError(ErrorKind.NOT_FOUND, "offline: no such output")
        try:
            files = await asyncio.to_thread(self._store.files, record)
            async with self._render_slots:
                return await asyncio.to_thread(renderer.render, record, files, int(number))
        except (OSError, ValueError) as error:
            raise ProviderError(ErrorKind.FAILED, f"offline: {type(error).__name__} {error}") from error

    async def cancel(self, prediction_id: str) -> None:
        record = self._store.load(prediction_id)
        if record.cancelled_at is None and self._fraction_done(record) < 1:
            self._store.save(record.model_copy(update={"cancelled_at": self._clock()}))

    async def delete_model(self, model: str) -> None:
        """Delete a trained model; one that does not exist any more is no error."""
        await asyncio.to_thread(self._styles.delete, model)

    async def check(self) -> None:
        """Always usable."""

    async def close(self) -> None:
        """Nothing is held open."""

    def _fraction_done(self, record: StoredPrediction) -> float:
        needed = self._seconds * slowdown_factor(record.user_text)
        elapsed = (self._clock() - record.created_at).total_seconds()
        return elapsed / needed if needed > 0 else 1.0
