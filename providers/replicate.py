"""Replicate: long work as predictions, asked once, found again by seed, files as bytes both ways."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pydantic.v1 import ValidationError
from replicate.identifier import ModelVersionIdentifier
from replicate.prediction import Prediction as Answer

from providers.download import Downloader
from providers.errors import clean, kind_of_words
from providers.media_type import media_type
from providers.protocols import ErrorKind, Prediction, PredictionRequest, ProviderError, Status
from providers.replicate_client import HOST, OnceTransport, build_client

DATA_URI_LIMIT = 256 * 1024
"""Bytes up to which Replicate takes a file inside the input; larger ones go through its files API."""
CLOCK_SKEW = timedelta(minutes=2)
"""How far Replicate's clock may be behind ours. Seeds tell requests apart, so it may be generous."""
PAGES = 20
"""Pages of predictions (about 100 each) that `find` reads at most."""

_STATUSES: dict[str, Status] = {
    "starting": "queued",
    "processing": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
}
_ENDED = {"succeeded", "failed", "cancelled"}


class ReplicateProvider:
    """PredictionProvider over Replicate's API. Every method raises only ProviderError.

    `base_url` is the address without `/v1`; None is Replicate itself. `timeout` is the time in seconds
    that one question may take, `upload_timeout` the same for a large input file.
    """

    name = "replicate"
    offline = False

    def __init__(
        self, api_token: str, base_url: str | None, *, timeout: float = 30.0, upload_timeout: float = 120.0
    ) -> None:
        home = (base_url or HOST).rstrip("/").removesuffix("/v1")
        self._transport = OnceTransport()
        self._client = build_client(api_token, home, self._transport)
        self._downloader = Downloader("Replicate", home, api_token)
        self._timeout = timeout
        self._upload_timeout = upload_timeout

    async def start(self, request: PredictionRequest) -> str:
        """Ask once. TIMED_OUT and OVERLOADED may mean that only the answer was lost: ask `find` then."""
        model = _model(request.model)
        given = dict(request.input)
        for field, data in request.files.items():
            given[field] = await self._hand_over(field, data)
        async with _one_question(self._timeout):
            if model.version is None:
                key = (model.owner, model.name)
                answer = await self._client.models.predictions.async_create(model=key, input=given)
            else:
                answer = await self._client.predictions.async_create(version=request.model, input=given)
        return str(answer.id)

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """Look through the newest predictions for this request's model and input.

        Replicate forgets the inputs of API predictions after an hour; a later `find` finds nothing.
        """
        oldest = since.astimezone(UTC) - CLOCK_SKEW
        cursor: str | None = "/v1/predictions"
        for _ in range(PAGES):
            async with _one_question(self._timeout):
                page = await self._client.predictions.async_list(cursor)
            for answer in page.results:
                if _created(answer) < oldest:
                    return None
                if _is_of(request, answer):
                    return str(answer.id)
            if not page.next:
                return None
            cursor = _path(page.next)
        return None

    async def get(self, prediction_id: str) -> Prediction:
        async with _one_question(self._timeout):
            answer = await self._client.predictions.async_get(prediction_id)
        return _prediction(answer)

    async def fetch(self, output: str) -> bytes:
        return await self._downloader.fetch(output)

    async def cancel(self, prediction_id: str) -> None:
        try:
            async with _one_question(self._timeout):
                await self._client.predictions.async_cancel(prediction_id)
        except ProviderError:
            # An ended prediction may be refused; that is no error as long as it has ended.
            if (await self.get(prediction_id)).status not in _ENDED:
                raise

    async def check(self) -> None:
        async with _one_question(self._timeout):
            await self._client.accounts.async_current()

    async def close(self) -> None:
        await self._transport.aclose()
        await self._downloader.close()

    async def _hand_over(self, field: str, data: bytes) -> str:
        kind = media_type(data)
        if len(data) <= DATA_URI_LIMIT:
            return f"data:{kind};base64,{base64.b64encode(data).decode()}"
        async with _one_question(self._upload_timeout):
            file = await self._client.files.async_create(
                io.BytesIO(data), filename=f"{field}.{kind.partition('/')[2]}", content_type=kind
            )
        return str(file.urls["get"])


@asynccontextmanager
async def _one_question(seconds: float) -> AsyncIterator[None]:
    """Bound a question in time, and turn what the client itself raises into ProviderError."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except ProviderError as error:
        # Without the frames below, whose variables hold the token: some loggers print variables.
        raise error.with_traceback(None) from None
    except TimeoutError:
        raise ProviderError(ErrorKind.TIMED_OUT, f"Replicate: no answer in {seconds:g} s") from None
    except (ValidationError, KeyError, ValueError, TypeError) as error:
        detail = clean(f"Replicate: an answer that could not be read ({type(error).__name__} {error})")
        raise ProviderError(ErrorKind.OVERLOADED, detail) from None


def _model(name: str) -> ModelVersionIdentifier:
    try:
        return ModelVersionIdentifier.parse(name)
    except ValueError:
        raise ProviderError(ErrorKind.FAILED, f"not a name of a model: {clean(name)}") from None


def _path(url: str) -> str:
    """A page's address without its host, so that the token goes nowhere but to the API."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _created(answer: Answer) -> datetime:
    if not answer.created_at:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(answer.created_at)
    except ValueError:
        return datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_of(request: PredictionRequest, answer: Answer) -> bool:
    """By the seed, which only this request has; by the whole input where the model takes no seed."""
    model = _model(request.model)
    if answer.model != f"{model.owner}/{model.name}" or model.version not in {None, answer.version}:
        return False
    given: Mapping[str, object] = answer.input or {}
    if "seed" in request.input:
        return given.get("seed") == request.seed and given.get("prompt") == request.input.get("prompt")
    return all(given.get(key) == value for key, value in request.input.items()) and bool(given)


def _prediction(answer: Answer) -> Prediction:
    status = _STATUSES[answer.status]
    outputs = tuple(_references(answer.output)) if status == "succeeded" else ()
    progress = answer.progress
    percent = round(progress.percentage * 100) if progress and status == "running" else None
    if status == "succeeded" and not outputs:
        return _failed(answer.id, ErrorKind.FAILED, "succeeded without an output")
    if status == "failed":
        said = answer.error or ""
        return _failed(answer.id, kind_of_words(said), clean(said) or "failed without a word")
    return Prediction(answer.id, status, percent, outputs)


def _failed(prediction_id: str, kind: ErrorKind, detail: str) -> Prediction:
    return Prediction(prediction_id, "failed", error=kind, error_detail=detail)


def _references(output: object) -> list[str]:
    """Every file in an output, which models shape as a string, a list, or an object of these."""
    if isinstance(output, str):
        return [output] if output.startswith(("https://", "http://", "data:")) else []
    if isinstance(output, Mapping):
        return [found for value in output.values() for found in _references(value)]
    if isinstance(output, list):
        return [found for value in output for found in _references(value)]
    return []
