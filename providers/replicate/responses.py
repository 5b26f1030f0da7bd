"""Reading Replicate's answers: predictions and trainings look alike."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from replicate.identifier import ModelVersionIdentifier
from replicate.prediction import Prediction as PredictionAnswer
from replicate.training import Training as TrainingAnswer

from providers.errors import classify_message, sanitize
from providers.protocols import ErrorKind, Prediction, PredictionRequest, PredictionStatus, ProviderError

Response = PredictionAnswer | TrainingAnswer
TERMINAL_STATUSES = {"succeeded", "failed", "cancelled"}
CLOCK_SKEW = timedelta(minutes=2)
"""How far Replicate's clock may be behind ours. Seeds tell requests apart, so it may be generous."""
MAX_PAGES = 20
"""Pages (about 100 each) that a search for a lost answer reads at most."""

_STATUSES: dict[str, PredictionStatus] = {
    "starting": "queued",
    "processing": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
}
_PERCENT = re.compile(r"(\d{1,3})%\|")


def parse_model_name(name: str) -> ModelVersionIdentifier:
    try:
        return ModelVersionIdentifier.parse(name)
    except ValueError:
        raise ProviderError(ErrorKind.FAILED, f"not a name of a model: {sanitize(name)}") from None


async def iter_newest(
    first_page: str, since: datetime, read: Callable[[str], Awaitable[Any]]
) -> AsyncIterator[Response]:
    """What was made after `since`, newest first; `read` gives the page at an address without a host."""
    oldest = since.astimezone(UTC) - CLOCK_SKEW
    cursor = first_page
    for _ in range(MAX_PAGES):
        page = await read(cursor)
        for answer in page.results:
            if _created_at(answer) < oldest:
                return
            yield answer
        if not page.next:
            return
        cursor = _path_and_query(page.next)


def matches_request(request: PredictionRequest, answer: Response) -> bool:
    """By the seed, which only this request has; by the whole input where the model takes no seed."""
    model = parse_model_name(request.model)
    if answer.model != f"{model.owner}/{model.name}" or model.version not in {None, answer.version}:
        return False
    given: Mapping[str, object] = answer.input or {}
    if "seed" in request.input:
        return given.get("seed") == request.seed and given.get("prompt") == request.input.get("prompt")
    return all(given.get(key) == value for key, value in request.input.items()) and bool(given)


def to_prediction(answer: Response, outputs_in: Callable[[object], list[str]]) -> Prediction:
    """Where the work stands; `outputs_in` finds the references in the output of one that went well."""
    status = _STATUSES[answer.status]
    outputs = tuple(outputs_in(answer.output)) if status == "succeeded" else ()
    if status == "succeeded" and not outputs:
        return _failed(answer.id, ErrorKind.FAILED, "succeeded without an output")
    if status == "failed":
        said = answer.error or ""
        return _failed(answer.id, classify_message(said), sanitize(said) or "failed without a word")
    return Prediction(answer.id, status, _percent(answer) if status == "running" else None, outputs)


def find_output_files(output: object) -> list[str]:
    """Every file in an output, which models shape as a string, a list, or an object of these."""
    if isinstance(output, str):
        return [output] if output.startswith(("https://", "http://", "data:")) else []
    if isinstance(output, Mapping):
        return [found for value in output.values() for found in find_output_files(value)]
    if isinstance(output, list):
        return [found for value in output for found in find_output_files(value)]
    return []


def _failed(prediction_id: str, kind: ErrorKind, detail: str) -> Prediction:
    return Prediction(prediction_id, "failed", error=kind, error_detail=detail)


def _percent(answer: Response) -> int | None:
    """The last progress bar in the logs, as both models and trainers print them."""
    bars = _PERCENT.findall(answer.logs or "")
    return min(100, int(bars[-1])) if bars else None


def _path_and_query(url: str) -> str:
    """A page's address without its host, so that the token goes nowhere but to the API."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _created_at(answer: Response) -> datetime:
    if not answer.created_at:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(answer.created_at)
    except ValueError:
        return datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
