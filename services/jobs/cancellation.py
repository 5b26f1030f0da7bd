"""Stopping an order: the hold is released, the provider's work cancelled, a late result delivered to nobody."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from providers.protocols import PredictionProvider, ProviderError
from services.durable.pubsub import PubSub
from services.durable.steps import DirectSteps, Reconcile, StepFunction
from storage.jobs.jobs import Job
from storage.jobs.journal import JournalEntry
from storage.pool import Pool

_START_STEP_PREFIX = "start-"


class ReplayEnded(Exception):
    """The run has come to a step that is not in the journal: nothing after it was ever begun."""


class CancelReplay(DirectSteps):
    """Goes through a job's journal without doing anything new, and gathers what was started at a provider.

    A start that was begun and whose end nobody wrote down is looked for at the provider, as any runner would.
    """

    def __init__(self, db: Pool, job: Job, entries: Mapping[str, JournalEntry]) -> None:
        super().__init__(db, job, dict(entries), PubSub())
        self.prediction_ids = [
            str(entry.result["value"])
            for step, entry in entries.items()
            if step.startswith(_START_STEP_PREFIX) and entry.result and "value" in entry.result
        ]

    async def sleep(self, step: str, seconds: float) -> None:
        if step not in self._entries:
            raise ReplayEnded

    async def wait(self, step: str, topic: str, seconds: float) -> None:
        await self.sleep(step, seconds)

    async def _run_new(
        self, step: str, work: StepFunction, reconcile: Reconcile | None, retry_outages: bool
    ) -> Any:
        entry = self._entries.get(step)
        if reconcile is not None and entry is not None and step.startswith(_START_STEP_PREFIX):
            found = await reconcile(entry.started_at)
            self.prediction_ids += [str(found)] if found is not None else []
        raise ReplayEnded


async def cancel_predictions(job: Job, provider: PredictionProvider, prediction_ids: list[str]) -> None:
    """Cancel at the provider what the job had started. What cannot be cancelled goes on for nobody."""
    for prediction_id in prediction_ids:
        try:
            await provider.cancel(prediction_id)
        except ProviderError as error:
            logger.warning("job {}: prediction {} was not cancelled: {}", job.id, prediction_id, error)
