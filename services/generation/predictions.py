"""Predictions: long-running work that is started at a provider once and polled until it ends."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from providers.protocols import Prediction, PredictionProvider, PredictionRequest
from services.core.errors import Failure, PermanentFailure, failure_from_kind
from services.durable.step_names import PAUSE_PREFIX, POLL_PREFIX, START_PREFIX
from services.generation.context import JobContext
from services.generation.inputs import FileRef
from storage.jobs.jobs import get_job_by_prediction

_FIRST_PAUSES: Final = (0.5, 1.0, 1.0, 2.0, 3.0, 5.0)
"""Seconds to wait before each of the first polls. Images rarely take longer than these together."""
_MIN_LATER_PAUSE: Final = 10.0
_MAX_LATER_PAUSE: Final = 30.0
_WEBHOOK_PAUSE: Final = 20.0
"""Seconds to wait for a provider's webhook before polling."""
_CANCEL_STEP: Final = "stop"


@dataclass(frozen=True)
class ProviderJob:
    """A prediction to start.

    Attributes:
        request: The request without the user's files.
        files: The user's files by the model's input names. They are downloaded when the request is built.
    """

    request: PredictionRequest
    files: Mapping[str, FileRef] = field(default_factory=dict)

    async def build_request(self, context: JobContext) -> PredictionRequest:
        """Download the user's files and return the request with their contents."""
        contents = {name: await context.download(file.file_id) for name, file in self.files.items()}
        return replace(self.request, files={**self.request.files, **contents})


def derive_seed(context: JobContext, number: int) -> int:
    """Derive the seed of a prediction: the same in every run of the job, and different from all other jobs'.

    A provider's `find` recognises our predictions by it.

    Args:
        context: The job's context.
        number: The number of the prediction within the job, from 1.
    """
    digest = hashlib.sha256(f"{context.job.id}:{number}".encode()).digest()
    return int.from_bytes(digest[:4]) % 2_000_000_000


async def run_predictions(
    context: JobContext,
    provider: PredictionProvider,
    provider_jobs: Sequence[ProviderJob],
    *,
    time_limit_seconds: float,
) -> list[Prediction]:
    """Start predictions and wait until all of them have succeeded.

    Args:
        context: The job's context.
        provider: The provider that runs the predictions.
        provider_jobs: The predictions to start, at least one.
        time_limit_seconds: The time limit for all of them together.

    Returns:
        The predictions, in the order of `provider_jobs`.

    Raises:
        Failure: A prediction failed, or the time limit was exceeded. The other unfinished predictions are cancelled.
    """
    prediction_ids = [
        await context.steps.run(
            f"{START_PREFIX}{number}",
            partial(_start, context, provider, provider_job),
            reconcile=partial(_find_started, context, provider, provider_job),
            retry_outages=True,  # the user's files are downloaded from Telegram
        )
        for number, provider_job in enumerate(provider_jobs, 1)
    ]
    predictions: list[Prediction] = []
    for number, pause in enumerate(_poll_intervals(time_limit_seconds, uses_webhooks=provider.uses_webhooks), 1):
        # Only the last prediction's topic is waited for; the poll checks all of them.
        await context.steps.wait(f"{PAUSE_PREFIX}{number}", prediction_ids[-1], pause)
        try:
            stored = await context.steps.run(f"{POLL_PREFIX}{number}", partial(_poll, provider, prediction_ids))
        except Failure as failure:
            if not failure.retriable:
                raise
            continue  # the provider cannot be reached, but the predictions may still be running
        predictions = [_prediction_from_dict(data) for data in stored]
        if failed := next((p for p in predictions if p.status in ("failed", "cancelled")), None):
            await _cancel_unfinished(context, provider, predictions)
            if failed.error is None:
                raise PermanentFailure(
                    "failure.provider", detail=f"prediction {failed.id} ended as {failed.status}"
                )
            raise failure_from_kind(failed.error, failed.error_detail)
        if all(p.status == "succeeded" for p in predictions):
            return predictions
        await context.report_progress(_average_percent(predictions))
    await _cancel_unfinished(context, provider, predictions)
    raise PermanentFailure("failure.timed_out", detail=f"not finished after {time_limit_seconds} s")


async def _start(context: JobContext, provider: PredictionProvider, provider_job: ProviderJob) -> str:
    return await provider.start(await provider_job.build_request(context))


async def _find_started(
    context: JobContext, provider: PredictionProvider, provider_job: ProviderJob, since: datetime
) -> str | None:
    """Find the prediction that this request started after `since`. One already recorded in a journal is not returned.

    If the model takes no seed, only the files tell one user's request from another's.
    """
    match_files = bool(provider_job.files) and "seed" not in provider_job.request.input
    found = await provider.find(
        await provider_job.build_request(context) if match_files else provider_job.request, since
    )
    is_taken = found is not None and await get_job_by_prediction(context.db, found) is not None
    return None if is_taken else found


async def _poll(provider: PredictionProvider, prediction_ids: Sequence[str]) -> list[dict[str, Any]]:
    return [asdict(await provider.get(prediction_id)) for prediction_id in prediction_ids]


def _prediction_from_dict(data: dict[str, Any]) -> Prediction:
    return Prediction(**{**data, "outputs": tuple(data["outputs"])})


async def _cancel_unfinished(
    context: JobContext, provider: PredictionProvider, predictions: Sequence[Prediction]
) -> None:
    async def cancel_unfinished() -> None:
        for prediction in predictions:
            if prediction.status in ("queued", "running"):
                await provider.cancel(prediction.id)

    await context.steps.run(_CANCEL_STEP, cancel_unfinished)


def _average_percent(predictions: Sequence[Prediction]) -> int | None:
    percents = [100 if p.status == "succeeded" else p.percent for p in predictions]
    reported = [percent for percent in percents if percent is not None]
    return sum(reported) // len(percents) if reported else None


def _poll_intervals(time_limit_seconds: float, *, uses_webhooks: bool) -> Iterator[float]:
    """Yield the seconds to wait before each poll: short at first, for images; longer later, for videos and trainings.

    If the provider uses webhooks, polls are rare and only make up for lost webhooks.
    """
    elapsed = 0.0
    if uses_webhooks:
        yield _FIRST_PAUSES[-1]  # soon, in case the webhook came before the wait began
        while elapsed < time_limit_seconds:
            elapsed += _WEBHOOK_PAUSE
            yield _WEBHOOK_PAUSE
        return
    for number in itertools.count():
        pause = (
            _FIRST_PAUSES[number]
            if number < len(_FIRST_PAUSES)
            else min(_MAX_LATER_PAUSE, max(_MIN_LATER_PAUSE, elapsed / 20))
        )
        elapsed += pause
        yield pause
        if elapsed >= time_limit_seconds:
            return
