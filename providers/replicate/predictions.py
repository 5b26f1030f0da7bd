"""Images, videos and lip-syncs: predictions at Replicate."""

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
    """A PredictionProvider that uses the Replicate API.

    Args:
        api_token: The account's API token.
        base_url: The URL of the API; None for the official one.
        timeout: Seconds for one request.
        upload_timeout: Seconds for the upload of one input file.
        webhook_url: The URL that Replicate calls when a prediction has ended (see providers/replicate/webhook.py);
            None for no webhooks.
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
        """Start the prediction. TIMED_OUT and OVERLOADED may mean that only the response was lost; see `find`."""
        model = parse_model_name(request.model)
        model_input = await self._api.build_input(request.input, request.files)
        webhook = self._api.webhook_params
        async with self._api.request() as client:
            if model.version is None:
                key = (model.owner, model.name)
                response = await client.models.predictions.async_create(model=key, input=model_input, **webhook)
            else:
                response = await client.predictions.async_create(
                    version=request.model, input=model_input, **webhook
                )
        return str(response.id)

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """Search the newest predictions for one with this request's model, input and files.

        Replicate deletes the inputs of API predictions after an hour, so nothing can be found later than that:
        https://replicate.com/docs/topics/predictions/data-retention
        """
        async for response in iter_newest("/v1/predictions", since, self._list_page):
            if matches_request(request, response) and await self._matches_files(request, response.input or {}):
                return str(response.id)
        return None

    async def get(self, prediction_id: str) -> Prediction:
        """Return the prediction's current state. Success without an output counts as failed."""
        async with self._api.request() as client:
            response = await client.predictions.async_get(prediction_id)
        return to_prediction(response, find_output_files)

    async def fetch(self, output: str) -> bytes:
        """Download an output. Raises NOT_FOUND if it is deleted, which Replicate does after an hour."""
        return await self._downloader.fetch(output)

    async def cancel(self, prediction_id: str) -> None:
        """Cancel the prediction. Does nothing if it has ended."""
        try:
            async with self._api.request() as client:
                await client.predictions.async_cancel(prediction_id)
        except ProviderError:
            # Replicate may refuse to cancel a prediction that has ended. That is not an error.
            if (await self.get(prediction_id)).status not in TERMINAL_STATUSES:
                raise

    async def check(self) -> None:
        """Raise ProviderError if Replicate cannot be used with this token."""
        await self._api.check()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        await self._downloader.close()

    async def _matches_files(self, request: PredictionRequest, values: Mapping[str, object]) -> bool:
        """Compare the files if there is no seed; otherwise another user's request could match."""
        return "seed" in request.input or await self._api.has_files(values, request.files)

    async def _list_page(self, path: str) -> Any:
        async with self._api.request() as client:
            return await client.predictions.async_list(path)
