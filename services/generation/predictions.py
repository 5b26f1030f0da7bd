"""Long work at a provider: asked for once, watched until it ends, whoever watches."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from providers.protocols import Prediction, PredictionProvider, PredictionRequest
from services.core.errors import Failure, PermanentFailure, failure_from_kind
from services.generation.context import JobContext
from services.generation.inputs import FileRef
from storage.jobs.jobs import get_job_by_prediction

_FIRST_PAUSES = (0.5, 1.0, 1.0, 2.0, 3.0, 5.0)
_BASE_MAX_PAUSE = 10.0
_WEBHOOK_PAUSE = 20.0
"""How long to trust in a provider's webhook before looking oneself."""


@dataclass(frozen=True)
class ProviderJob:
    """A request, and the person's files that go with it; they are fetched when it is made."""

    request: PredictionRequest
    files: Mapping[str, FileRef] = field(default_factory=dict)

    async def build_request(self, context: JobContext) -> PredictionRequest:
        contents = {name: await context.download(file.file_id) for name, file in self.files.items()}
        return replace(self.request, files={**self.request.files, **contents})


def derive_seed(context: JobContext, number: int) -> int:
    """The same for every run of this job, and no other's: `find` knows our prediction by it."""
    digest = hashlib.sha256(f"{context.job.id}:{number}".encode()).digest()
    return int.from_bytes(digest[:4]) % 2_000_000_000


async def run_predictions(
    context: JobContext,
    provider: PredictionProvider,
    provider_jobs: Sequence[ProviderJob],
    *,
    time_limit_seconds: float,
) -> list[Prediction]:
    """Have all of it done, and give the predictions as they ended well.

    Raises Failure when one failed or `limit` seconds have passed; the others are then stopped.
    """
    prediction_ids = [
        await context.steps.run(
            f"start-{number}",
            partial(_start, context, provider, ask),
            reconcile=partial(_find_started, context, provider, ask),
            retry_outages=True,  # a file of the person's comes from Telegram first
        )
        for number, ask in enumerate(provider_jobs, 1)
    ]
    predictions: list[Prediction] = []
    for number, pause in enumerate(_poll_intervals(time_limit_seconds, uses_webhooks=provider.uses_webhooks), 1):
        # With several predictions the last one's end is as good as any: the others are looked at as well.
        await context.steps.wait(f"pause-{number}", prediction_ids[-1], pause)
        try:
            stored = await context.steps.run(f"poll-{number}", partial(_poll, provider, prediction_ids))
        except Failure as failure:
            if not failure.retriable:
                raise
            continue  # the provider cannot be reached; its work goes on, and so does the watching
        predictions = [_prediction_from_dict(data) for data in stored]
        if failed := next((p for p in predictions if p.status in ("failed", "cancelled")), None):
            await _cancel_unfinished(context, provider, predictions)
            if failed.error is None:
                raise PermanentFailure("failure.provider", detail=f"prediction {failed.id} was {failed.status}")
            raise failure_from_kind(failed.error, failed.error_detail)
        if all(p.status == "succeeded" for p in predictions):
            return predictions
        await context.report_progress(_average_percent(predictions))
    await _cancel_unfinished(context, provider, predictions)
    raise PermanentFailure("failure.timed_out", detail=f"not done after {time_limit_seconds} s")


async def _start(context: JobContext, provider: PredictionProvider, provider_job: ProviderJob) -> str:
    return await provider.start(await provider_job.build_request(context))


async def _find_started(
    context: JobContext, provider: PredictionProvider, provider_job: ProviderJob, since: datetime
) -> str | None:
    """What this request started after `since`; never what another job, or another start of this one, did.

    Where the model takes no seed, only the files tell one person's request from another's.
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

    await context.steps.run("stop", cancel_unfinished)


def _average_percent(predictions: Sequence[Prediction]) -> int | None:
    percents = [100 if p.status == "succeeded" else p.percent for p in predictions]
    reported = [percent for percent in percents if percent is not None]
    return sum(reported) // len(percents) if reported else None


def _poll_intervals(time_limit_seconds: float, *, uses_webhooks: bool) -> Iterator[float]:
    """Short at first, for pictures; long later, for films; `sparse` where the provider calls back."""
    elapsed = 0.0
    if uses_webhooks:
        yield _FIRST_PAUSES[-1]  # a call that came before anybody waited for it is made good for soon
        while elapsed < time_limit_seconds:
            elapsed += _WEBHOOK_PAUSE
            yield _WEBHOOK_PAUSE
        return
    for number in range(100_000):
        pause = (
            _FIRST_PAUSES[number]
            if number < len(_FIRST_PAUSES)
            else min(_BASE_MAX_PAUSE * 3, max(_BASE_MAX_PAUSE, elapsed / 20))
        )
        elapsed += pause
        yield pause
        if elapsed >= time_limit_seconds:
            return
