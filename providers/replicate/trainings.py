"""Trainings at Replicate: a zip of a user's photos becomes a model.

There are two kinds of trainer. A trainer named with a version (`ostris/flux-dev-lora-trainer:e440…`) runs as a
training, which adds a version to a private model in our account. A trainer named without a version
(`black-forest-labs/flux-pro-trainer`) runs as a prediction; its output is an id that another model takes as
`finetune_id`.
https://replicate.com/docs/reference/http#trainings.create
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers.protocols import ErrorKind, Prediction, PredictionRequest, ProviderError
from providers.replicate.api import ReplicateApi
from providers.replicate.responses import (
    TERMINAL_STATUSES,
    Response,
    iter_newest,
    matches_request,
    parse_model_name,
    to_prediction,
)

_DEFAULT_HARDWARE = "gpu-t4"
"""Creating a model requires a hardware type; Replicate runs fine-tunes on the hardware of their base model anyway."""


class ReplicateTrainings:
    """A TrainingProvider that uses the Replicate API.

    A request's input contains the trainer's inputs. The trigger word should be unique to the order: a training has no
    seed, so `find` recognises it by its inputs and photos. `destination` (`name` or `owner/name`) is the model in our
    account that gets the new version; it is created as a private model if it does not exist. The single output is the
    name of the trained model, not a file.

    Args:
        api_token: The account's API token.
        base_url: The URL of the API; None for the official one.
        timeout: Seconds for one request.
        upload_timeout: Seconds for the upload of the photos.
        webhook_url: The URL that Replicate calls when a training has ended (see providers/replicate/webhook.py); None
            for no webhooks.
        hardware: The hardware type of new models.
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
        upload_timeout: float = 300.0,
        webhook_url: str | None = None,
        hardware: str = _DEFAULT_HARDWARE,
    ) -> None:
        self.uses_webhooks = webhook_url is not None
        self._api = ReplicateApi(
            api_token, base_url, timeout=timeout, upload_timeout=upload_timeout, webhook_url=webhook_url
        )
        self._hardware = hardware
        self._account = ""
        self._existing_destinations: set[str] = set()
        """Destinations that this process has found or created."""

    async def start(self, request: PredictionRequest) -> str:
        """Start the training. TIMED_OUT and OVERLOADED may mean that only the response was lost; see `find`."""
        trainer = parse_model_name(request.model)
        destination = await self._with_owner(_destination(request)) if trainer.version else ""
        if destination:
            await self._ensure_destination(destination)
        trainer_input = await self._api.build_input(_trainer_input(request), request.files)
        key, webhook = (trainer.owner, trainer.name), self._api.webhook_params
        async with self._api.request() as client:
            response: Response
            if trainer.version:
                response = await client.trainings.async_create(
                    model=key, version=trainer.version, input=trainer_input, destination=destination, **webhook
                )
            else:
                response = await client.models.predictions.async_create(model=key, input=trainer_input, **webhook)
        return str(response.id)

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """Search the newest trainings for one with this trainer, these inputs and these photos."""
        trainer_request = PredictionRequest(request.kind, request.model, _trainer_input(request), request.seed)
        is_training = parse_model_name(request.model).version is not None
        path = "/v1/trainings" if is_training else "/v1/predictions"
        read = self._list_trainings if is_training else self._list_predictions
        async for response in iter_newest(path, since, read):
            if matches_request(trainer_request, response) and await self._api.has_files(
                response.input or {}, request.files
            ):
                return str(response.id)
        return None

    async def get(self, prediction_id: str) -> Prediction:
        """Return the current state of a training, for either kind of trainer."""
        try:
            async with self._api.request() as client:
                return to_prediction(await client.trainings.async_get(prediction_id), _find_version)
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
        async with self._api.request() as client:
            return to_prediction(await client.predictions.async_get(prediction_id), _find_finetune_id)

    async def fetch(self, output: str) -> bytes:
        """Raise NOT_FOUND: a trained model is not a file."""
        raise ProviderError(ErrorKind.NOT_FOUND, "Replicate: a trained model cannot be downloaded")

    async def cancel(self, prediction_id: str) -> None:
        """Cancel the training. Does nothing if it has ended."""
        try:
            await self._cancel(prediction_id)
        except ProviderError:
            # Replicate may refuse to cancel a training that has ended. That is not an error.
            if (await self.get(prediction_id)).status not in TERMINAL_STATUSES:
                raise

    async def delete_model(self, model: str) -> None:
        """Delete a trained version (`owner/name:version`). Not an error if it no longer exists.

        Raises:
            ProviderError: With BAD_INPUT for a `finetune_id`, which Replicate's API cannot delete.
        """
        version = parse_model_name(model)
        if version.version is None:
            raise ProviderError(ErrorKind.BAD_INPUT, "Replicate: only a version of a model can be deleted")
        try:
            async with self._api.request() as client:
                found = await client.models.async_get(f"{version.owner}/{version.name}")
                await found.versions.async_delete(version.version)
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise

    async def check(self) -> None:
        """Raise ProviderError if Replicate cannot be used with this token."""
        await self._api.check()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _with_owner(self, destination: str) -> str:
        """Add the owner to a destination that has none: our account."""
        if "/" in destination:
            return destination
        if not self._account:
            async with self._api.request() as client:
                self._account = str((await client.accounts.async_current()).username)
        return f"{self._account}/{destination}"

    async def _ensure_destination(self, destination: str) -> None:
        """Create the destination as a private model if it does not exist."""
        if destination in self._existing_destinations:
            return
        if not await self._model_exists(destination):
            owner, _, name = destination.partition("/")
            try:
                async with self._api.request() as client:
                    await client.models.async_create(owner, name, visibility="private", hardware=self._hardware)
            except ProviderError:
                # Another process may have created it in the meantime.
                if not await self._model_exists(destination):
                    raise
        self._existing_destinations.add(destination)

    async def _model_exists(self, model: str) -> bool:
        try:
            async with self._api.request() as client:
                await client.models.async_get(model)
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            return False
        return True

    async def _cancel(self, prediction_id: str) -> None:
        try:
            async with self._api.request() as client:
                await client.trainings.async_cancel(prediction_id)
                return
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
        async with self._api.request() as client:
            await client.predictions.async_cancel(prediction_id)

    async def _list_trainings(self, path: str) -> Any:
        async with self._api.request() as client:
            return await client.trainings.async_list(path)

    async def _list_predictions(self, path: str) -> Any:
        async with self._api.request() as client:
            return await client.predictions.async_list(path)


def _destination(request: PredictionRequest) -> str:
    destination = str(request.input.get("destination", ""))
    owner, slash, name = destination.rpartition("/")
    if not name or ":" in name or bool(slash) != bool(owner):
        raise ProviderError(ErrorKind.FAILED, "Replicate: destination of a training must be owner/name or name")
    return destination


def _trainer_input(request: PredictionRequest) -> dict[str, object]:
    return {key: value for key, value in request.input.items() if key != "destination"}


def _find_version(output: object) -> list[str]:
    """Find the new version (`owner/name:version`) in a training's output."""
    version = output.get("version") if isinstance(output, Mapping) else None
    return [version] if isinstance(version, str) and version else []


def _find_finetune_id(output: object) -> list[str]:
    """Find the finetune's id in the output of a trainer that runs as a prediction."""
    finetune_id = output.get("finetune_id") if isinstance(output, Mapping) else output
    return [finetune_id.strip()] if isinstance(finetune_id, str) and finetune_id.strip() else []
