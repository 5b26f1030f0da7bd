"""Long work at a provider: asked for once, watched until it ends, whoever watches."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from providers.protocols import Prediction, PredictionProvider, PredictionRequest
from services.core.errors import Broken, Failure, failure_of_kind
from services.generation.context import Work
from services.generation.inputs import FileRef
from storage.jobs.jobs import get_job_by_prediction

_PAUSES = (0.5, 1.0, 1.0, 2.0, 3.0, 5.0)
_LONGEST_PAUSE = 10.0
_CALLED_BACK_PAUSE = 20.0
"""How long to trust in a provider's webhook before looking oneself."""


@dataclass(frozen=True)
class Ask:
    """A request, and the person's files that go with it; they are fetched when it is made."""

    request: PredictionRequest
    files: Mapping[str, FileRef] = field(default_factory=dict)

    async def with_files(self, work: Work) -> PredictionRequest:
        contents = {name: await work.download(file.file_id) for name, file in self.files.items()}
        return replace(self.request, files={**self.request.files, **contents})


def seed_for(work: Work, number: int) -> int:
    """The same for every run of this job, and no other's: `find` knows our prediction by it."""
    digest = hashlib.sha256(f"{work.job.id}:{number}".encode()).digest()
    return int.from_bytes(digest[:4]) % 2_000_000_000


async def predict(
    work: Work, provider: PredictionProvider, asks: Sequence[Ask], *, limit: float
) -> list[Prediction]:
    """Have all of it done, and give the predictions as they ended well.

    Raises Failure when one failed or `limit` seconds have passed; the others are then stopped.
    """
    ids = [
        await work.steps.run(
            f"start-{number}",
            partial(_start, work, provider, ask),
            recover=partial(_found, work, provider, ask),
            patient=True,  # a file of the person's comes from Telegram first
        )
        for number, ask in enumerate(asks, 1)
    ]
    predictions: list[Prediction] = []
    for number, pause in enumerate(_pauses(limit, sparse=provider.calls_back), 1):
        # With several predictions the last one's end is as good as any: the others are looked at as well.
        await work.steps.wait(f"pause-{number}", ids[-1], pause)
        try:
            stored = await work.steps.run(f"poll-{number}", partial(_poll, provider, ids))
        except Failure as failure:
            if not failure.retriable:
                raise
            continue  # the provider cannot be reached; its work goes on, and so does the watching
        predictions = [_prediction(data) for data in stored]
        if failed := next((p for p in predictions if p.status in ("failed", "cancelled")), None):
            await _stop(work, provider, predictions)
            if failed.error is None:
                raise Broken("failure.provider", detail=f"prediction {failed.id} was {failed.status}")
            raise failure_of_kind(failed.error, failed.error_detail)
        if all(p.status == "succeeded" for p in predictions):
            return predictions
        await work.report(_percent(predictions))
    await _stop(work, provider, predictions)
    raise Broken("failure.timed_out", detail=f"not done after {limit} s")


async def _start(work: Work, provider: PredictionProvider, ask: Ask) -> str:
    return await provider.start(await ask.with_files(work))


async def _found(work: Work, provider: PredictionProvider, ask: Ask, since: datetime) -> str | None:
    """What this request started after `since`; never what another job, or another start of this one, did.

    Where the model takes no seed, only the files tell one person's request from another's.
    """
    by_files = bool(ask.files) and "seed" not in ask.request.input
    found = await provider.find(await ask.with_files(work) if by_files else ask.request, since)
    known = found is not None and await get_job_by_prediction(work.db, found) is not None
    return None if known else found


async def _poll(provider: PredictionProvider, ids: Sequence[str]) -> list[dict[str, Any]]:
    return [asdict(await provider.get(prediction_id)) for prediction_id in ids]


def _prediction(data: dict[str, Any]) -> Prediction:
    return Prediction(**{**data, "outputs": tuple(data["outputs"])})


async def _stop(work: Work, provider: PredictionProvider, predictions: Sequence[Prediction]) -> None:
    async def stop() -> None:
        for prediction in predictions:
            if prediction.status in ("queued", "running"):
                await provider.cancel(prediction.id)

    await work.steps.run("stop", stop)


def _percent(predictions: Sequence[Prediction]) -> int | None:
    known = [100 if p.status == "succeeded" else p.percent for p in predictions]
    numbers = [percent for percent in known if percent is not None]
    return sum(numbers) // len(known) if numbers else None


def _pauses(limit: float, *, sparse: bool) -> Iterator[float]:
    """Short at first, for pictures; long later, for films; `sparse` where the provider calls back."""
    passed = 0.0
    if sparse:
        yield _PAUSES[-1]  # a call that came before anybody waited for it is made good for soon
        while passed < limit:
            passed += _CALLED_BACK_PAUSE
            yield _CALLED_BACK_PAUSE
        return
    for number in range(100_000):
        pause = (
            _PAUSES[number] if number < len(_PAUSES) else min(_LONGEST_PAUSE * 3, max(_LONGEST_PAUSE, passed / 20))
        )
        passed += pause
        yield pause
        if passed >= limit:
            return
