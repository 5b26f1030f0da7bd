"""Replicate: long work as predictions, asked once, found again by seed, files as bytes both ways."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers.download import Downloader
from providers.protocols import Prediction, PredictionRequest, ProviderError
from providers.replicate.api import ReplicateApi
from providers.replicate.responses import (
    TERMINAL_STATUSES,
    find_output_files,
    iter_newest,
    matches_request,
    parse_model_name,
    to_prediction,
)


class ReplicateProvider:
    """PredictionProvider over Replicate's API. Every method raises only ProviderError.

    `base_url` is the address without `/v1`; None is Replicate itself. `timeout` is the time in seconds
    that one question may take, `upload_timeout` the same for a large input file. Replicate calls
    `webhook_url` when a prediction has ended (see providers/replicate/webhook.py).
    """

    name = "replicate"
    offline = False
    uses_webhooks = False

    def __init__(
        self,
        api_token: str,
        base_url: str | None,
        *,
        timeout: float = 30.0,
        upload_timeout: float = 120.0,
        webhook_url: str | None = None,
    ) -> None:
        self.uses_webhooks = webhook_url is not None
        self._api = ReplicateApi(
            api_token, base_url, timeout=timeout, upload_timeout=upload_timeout, webhook_url=webhook_url
        )
        self._downloader = Downloader("Replicate", self._api.base_url, api_token)

    async def start(self, request: PredictionRequest) -> str:
        """Ask once. TIMED_OUT and OVERLOADED may mean that only the answer was lost: ask `find` then."""
        model = parse_model_name(request.model)
        given = await self._api.build_input(request.input, request.files)
        hook = self._api.webhook_params
        async with self._api.request() as client:
            if model.version is None:
                key = (model.owner, model.name)
                answer = await client.models.predictions.async_create(model=key, input=given, **hook)
            else:
                answer = await client.predictions.async_create(version=request.model, input=given, **hook)
        return str(answer.id)

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """Look through the newest predictions for this request's model, input and files.

        Replicate forgets the inputs of API predictions after an hour; a later `find` finds nothing.
        """
        async for answer in iter_newest("/v1/predictions", since, self._list_page):
            if matches_request(request, answer) and await self._matches_files(request, answer.input or {}):
                return str(answer.id)
        return None

    async def get(self, prediction_id: str) -> Prediction:
        async with self._api.request() as client:
            answer = await client.predictions.async_get(prediction_id)
        return to_prediction(answer, find_output_files)

    async def fetch(self, output: str) -> bytes:
        return await self._downloader.fetch(output)

    async def cancel(self, prediction_id: str) -> None:
        try:
            async with self._api.request() as client:
                await client.predictions.async_cancel(prediction_id)
        except ProviderError:
            # An ended prediction may be refused; that is no error as long as it has ended.
            if (await self.get(prediction_id)).status not in TERMINAL_STATUSES:
                raise

    async def check(self) -> None:
        await self._api.check()

    async def close(self) -> None:
        await self._api.close()
        await self._downloader.close()

    async def _matches_files(self, request: PredictionRequest, given: Mapping[str, object]) -> bool:
        """A seed says enough; without one, nobody's photo may be taken for another's."""
        return "seed" in request.input or await self._api.has_files(given, request.files)

    async def _list_page(self, address: str) -> Any:
        async with self._api.request() as client:
            return await client.predictions.async_list(address)
