"""Interprets Replicate's responses, which are the same for predictions and trainings."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from replicate.identifier import ModelVersionIdentifier
from replicate.prediction import Prediction as PredictionResponse
from replicate.training import Training as TrainingResponse

from providers.errors import classify_message
from providers.protocols import ErrorKind, Prediction, PredictionRequest, PredictionStatus, ProviderError
from providers.redaction import redact_line

Response = PredictionResponse | TrainingResponse
TERMINAL_STATUSES = {"succeeded", "failed", "cancelled"}
_CLOCK_SKEW = timedelta(minutes=2)
"""How far Replicate's clock may be behind ours. Generous, because seeds tell requests apart."""
_MAX_PAGES = 20
"""The most pages, of about 100 predictions each, that a search for a lost prediction reads."""

_STATUSES: dict[str, PredictionStatus] = {
    "starting": "queued",
    "processing": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
}
_PERCENT = re.compile(r"(\d{1,3})%\|")


def parse_model_name(name: str) -> ModelVersionIdentifier:
    """Split `owner/name` or `owner/name:version`. Raises ProviderError (FAILED) for any other form."""
    try:
        return ModelVersionIdentifier.parse(name)
    except ValueError:
        raise ProviderError(ErrorKind.FAILED, f"not a model name: {redact_line(name)}") from None


async def iter_newest(
    first_page: str, since: datetime, read: Callable[[str], Awaitable[Any]]
) -> AsyncIterator[Response]:
    """Yield the predictions or trainings created after `since`, newest first.

    Args:
        first_page: The path of the first page.
        since: A time by our clock; Replicate's may differ by `_CLOCK_SKEW`.
        read: Returns the page at a path.
    """
    oldest = since.astimezone(UTC) - _CLOCK_SKEW
    cursor = first_page
    for _ in range(_MAX_PAGES):
        page = await read(cursor)
        for response in page.results:
            if _created_at(response) < oldest:
                return
            yield response
        if not page.next:
            return
        cursor = _path_and_query(page.next)


def matches_request(request: PredictionRequest, response: Response) -> bool:
    """Check whether a prediction or training was started by this request.

    Compares the seed, which is unique to the request, or the whole input if the model takes no seed. Files are
    compared by `ReplicateApi.has_files`.
    """
    model = parse_model_name(request.model)
    if response.model != f"{model.owner}/{model.name}" or model.version not in {None, response.version}:
        return False
    values: Mapping[str, object] = response.input or {}
    if "seed" in request.input:
        return values.get("seed") == request.seed and values.get("prompt") == request.input.get("prompt")
    return all(values.get(key) == value for key, value in request.input.items()) and bool(values)


def to_prediction(response: Response, outputs_in: Callable[[object], list[str]]) -> Prediction:
    """Convert a prediction or training to our Prediction.

    Args:
        response: Replicate's response.
        outputs_in: Finds the references in the output of successful work.

    Returns:
        The state. Success without an output counts as failed.
    """
    status = _STATUSES[response.status]
    outputs = tuple(outputs_in(response.output)) if status == "succeeded" else ()
    if status == "succeeded" and not outputs:
        return _failed(response.id, ErrorKind.FAILED, "succeeded without an output")
    if status == "failed":
        message = response.error or ""
        return _failed(response.id, classify_message(message), redact_line(message) or "failed without a message")
    return Prediction(response.id, status, _percent(response) if status == "running" else None, outputs)


def find_output_files(output: object) -> list[str]:
    """Find the references in a model's output: a string, a list, or an object of these."""
    if isinstance(output, str):
        return [output] if output.startswith(("https://", "http://", "data:")) else []
    if isinstance(output, Mapping):
        return [file for value in output.values() for file in find_output_files(value)]
    if isinstance(output, list):
        return [file for value in output for file in find_output_files(value)]
    return []


def _failed(prediction_id: str, kind: ErrorKind, detail: str) -> Prediction:
    return Prediction(prediction_id, "failed", error=kind, error_detail=detail)


def _percent(response: Response) -> int | None:
    """Read the last progress bar in the logs. Models and trainers print them in the same format."""
    bars = _PERCENT.findall(response.logs or "")
    return min(100, int(bars[-1])) if bars else None


def _path_and_query(url: str) -> str:
    """Strip the host from a page's URL, so that the token is sent only to the API."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _created_at(response: Response) -> datetime:
    if not response.created_at:
        return datetime.now(UTC)
    try:
        created_at = datetime.fromisoformat(response.created_at)
    except ValueError:
        return datetime.now(UTC)
    return created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)
