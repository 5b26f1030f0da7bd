"""Cancelling an order: what was started for it at a provider is cancelled, and nothing new is started."""

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
    """The replay has reached a step that is not in the journal: nothing after it was started."""


class CancelReplay(DirectSteps):
    """Replays a job's journal without doing anything new, and collects what was started at a provider.

    A start whose outcome is not in the journal is looked for at the provider, as any worker would.

    Attributes:
        prediction_ids: The provider's ids of what was started.
    """

    def __init__(self, db: Pool, job: Job, entries: Mapping[str, JournalEntry]) -> None:
        super().__init__(db, job, dict(entries), PubSub())
        self.prediction_ids = [
            str(entry.result["value"])
            for step, entry in entries.items()
            if step.startswith(START_PREFIX) and entry.result and "value" in entry.result
        ]

    async def sleep(self, step: str, seconds: float) -> None:
        """Go on where the journal has this sleep; raise ReplayEnded where it has not."""
        if step not in self._entries:
            raise ReplayEnded

    async def wait(self, step: str, topic: str, seconds: float) -> None:
        """Go on where the journal has this wait; raise ReplayEnded where it has not."""
        await self.sleep(step, seconds)

    async def run(
        self,
        step: str,
        work: Callable[[], Awaitable[T]],
        *,
        reconcile: Reconcile | None = None,
        retry_outages: bool = False,
    ) -> T:
        """Return the step's result from the journal; raise ReplayEnded where it has none."""
        entry = self._entries.get(step)
        if entry is not None and entry.ended_at is not None:
            return await super().run(step, work, reconcile=reconcile, retry_outages=retry_outages)
        if reconcile is not None and entry is not None and step.startswith(START_PREFIX):
            found = await reconcile(entry.started_at)
            self.prediction_ids += [str(found)] if found is not None else []
        raise ReplayEnded


async def cancel_predictions(job: Job, provider: PredictionProvider, prediction_ids: list[str]) -> None:
    """Cancel at the provider what the job had started. What cannot be cancelled runs on, unused."""
    for prediction_id in prediction_ids:
        try:
            await provider.cancel(prediction_id)
        except ProviderError as error:
            logger.warning("prediction not cancelled", job=job.id, prediction=prediction_id, error=error)
