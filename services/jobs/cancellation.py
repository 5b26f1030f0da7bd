"""Stopping an order: the hold is released, the provider's work cancelled, a late result delivered to nobody."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from providers.protocols import PredictionProvider, ProviderError
from services.durable.pubsub import Signals
from services.durable.steps import DirectSteps, Recover, Work
from storage.jobs.jobs import Job
from storage.jobs.journal import Entry
from storage.pool import Pool

_START = "start-"


class Stopped(Exception):
    """The run has come to a step that is not in the journal: nothing after it was ever begun."""


class StoppingSteps(DirectSteps):
    """Goes through a job's journal without doing anything new, and gathers what was started at a provider.

    A start that was begun and whose end nobody wrote down is looked for at the provider, as any runner would.
    """

    def __init__(self, db: Pool, job: Job, entries: Mapping[str, Entry]) -> None:
        super().__init__(db, job, dict(entries), Signals())
        self.started = [
            str(entry.result["value"])
            for step, entry in entries.items()
            if step.startswith(_START) and entry.result and "value" in entry.result
        ]

    async def sleep(self, step: str, seconds: float) -> None:
        if step not in self._entries:
            raise Stopped

    async def wait(self, step: str, signal: str, seconds: float) -> None:
        await self.sleep(step, seconds)

    async def _fresh(self, step: str, work: Work, recover: Recover | None, patient: bool) -> Any:
        begun = self._entries.get(step)
        if recover is not None and begun is not None and step.startswith(_START):
            found = await recover(begun.begun_at)
            self.started += [str(found)] if found is not None else []
        raise Stopped


async def stop_work(job: Job, provider: PredictionProvider, started: list[str]) -> None:
    """Cancel at the provider what the job had started. What cannot be cancelled goes on for nobody."""
    for prediction_id in started:
        try:
            await provider.cancel(prediction_id)
        except ProviderError as error:
            logger.warning("job {}: prediction {} was not cancelled: {}", job.id, prediction_id, error)
