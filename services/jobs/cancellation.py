"""Cancelling an order: cancels its predictions at the provider without starting anything new."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from loguru import logger

from providers.protocols import PredictionProvider, ProviderError
from services.durable.pubsub import PubSub
from services.durable.step_names import START_PREFIX
from services.durable.steps import DirectSteps, Reconcile
from storage.jobs.jobs import Job
from storage.jobs.journal import JournalEntry
from storage.pool import Pool

T = TypeVar("T")


class ReplayEnded(Exception):
    """The replay reached a step that is not in the journal, so nothing after it was started."""


class CancelReplay(DirectSteps):
    """Replays a job's journal without doing anything new, and collects the predictions that were started.

    If the outcome of a start is not in the journal, the prediction is looked up at the provider, as any worker would.

    Attributes:
        prediction_ids: The provider's ids of the started predictions.
    """

    def __init__(self, db: Pool, job: Job, entries: Mapping[str, JournalEntry]) -> None:
        super().__init__(db, job, dict(entries), PubSub())
        self.prediction_ids = [
            str(entry.result["value"])
            for step, entry in entries.items()
            if step.startswith(START_PREFIX) and entry.result and "value" in entry.result
        ]

    async def sleep(self, step: str, seconds: float) -> None:
        """Continue if the journal has this sleep, else raise ReplayEnded."""
        if step not in self._entries:
            raise ReplayEnded

    async def wait(self, step: str, topic: str, seconds: float) -> None:
        """Continue if the journal has this wait, else raise ReplayEnded."""
        await self.sleep(step, seconds)

    async def run(
        self,
        step: str,
        work: Callable[[], Awaitable[T]],
        *,
        reconcile: Reconcile | None = None,
        retry_outages: bool = False,
    ) -> T:
        """Return the step's result from the journal, or raise ReplayEnded if it has none."""
        entry = self._entries.get(step)
        if entry is not None and entry.ended_at is not None:
            return await super().run(step, work, reconcile=reconcile, retry_outages=retry_outages)
        if reconcile is not None and entry is not None and step.startswith(START_PREFIX):
            found = await reconcile(entry.started_at)
            self.prediction_ids += [str(found)] if found is not None else []
        raise ReplayEnded


async def cancel_predictions(job: Job, provider: PredictionProvider, prediction_ids: list[str]) -> None:
    """Cancel a job's predictions. An error is only logged; that prediction then finishes unused.

    Args:
        job: The job, for the log.
        provider: The provider that runs the predictions.
        prediction_ids: The provider's ids.
    """
    for prediction_id in prediction_ids:
        try:
            await provider.cancel(prediction_id)
        except ProviderError as error:
            logger.warning("prediction not cancelled", job=job.id, prediction=prediction_id, error=error)
