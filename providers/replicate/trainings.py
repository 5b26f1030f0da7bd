"""Trainings at Replicate: a zip of photos in, a model of the person's own out.

Two kinds of trainer are asked alike. One named with a version (`ostris/flux-dev-lora-trainer:e440…`)
runs as a training, which pushes a new version of a private model of ours. One named without (as
`black-forest-labs/flux-pro-trainer`) runs as a prediction, whose output is the text that its sister
model takes as `finetune_id`.
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

DEFAULT_HARDWARE = "gpu-t4"
"""What a new model is made with; Replicate runs fine-tunes on the hardware of what they were tuned from."""


class ReplicateTrainings:
    """PredictionProvider for the kind `training`. Every method raises only ProviderError.

    `request.input` holds the trainer's own inputs, of which the trigger word should be this order's alone: a
    training has no seed, so `find` knows it by its inputs and photos. `destination` (`owner/name`, ours) is
    the model that gets the new version; it is made, privately, where it is missing. The one output is the
    name of what was trained, which is no file.
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
        hardware: str = DEFAULT_HARDWARE,
    ) -> None:
        self.uses_webhooks = webhook_url is not None
        self._api = ReplicateApi(
            api_token, base_url, timeout=timeout, upload_timeout=upload_timeout, webhook_url=webhook_url
        )
        self._hardware = hardware
        self._account = ""
        self._existing_destinations: set[str] = set()
        """Destinations that are there."""

    async def start(self, request: PredictionRequest) -> str:
        """Ask once. TIMED_OUT and OVERLOADED may mean that only the answer was lost: ask `find` then."""
        trainer = parse_model_name(request.model)
        destination = await self._with_owner(_destination(request)) if trainer.version else ""
        if destination:
            await self._ensure_destination(destination)
        given = await self._api.build_input(_trainer_input(request), request.files)
        key, hook = (trainer.owner, trainer.name), self._api.webhook_params
        async with self._api.request() as client:
            answer: Response
            if trainer.version:
                answer = await client.trainings.async_create(
                    model=key, version=trainer.version, input=given, destination=destination, **hook
                )
            else:
                answer = await client.models.predictions.async_create(model=key, input=given, **hook)
        return str(answer.id)

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """Look through the newest trainings for one with this trainer, these inputs and these photos."""
        asked = PredictionRequest(request.kind, request.model, _trainer_input(request), request.seed)
        trains = parse_model_name(request.model).version is not None
        address, read = ("/v1/trainings", self._trainings) if trains else ("/v1/predictions", self._predictions)
        async for answer in iter_newest(address, since, read):
            if matches_request(asked, answer) and await self._api.has_files(answer.input or {}, request.files):
                return str(answer.id)
        return None

    async def get(self, prediction_id: str) -> Prediction:
        try:
            async with self._api.request() as client:
                return to_prediction(await client.trainings.async_get(prediction_id), _find_version)
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
        async with self._api.request() as client:
            return to_prediction(await client.predictions.async_get(prediction_id), _find_finetune_id)

    async def fetch(self, output: str) -> bytes:
        raise ProviderError(ErrorKind.NOT_FOUND, "Replicate: a trained model is no file")

    async def cancel(self, prediction_id: str) -> None:
        try:
            await self._cancel(prediction_id)
        except ProviderError:
            # An ended training may be refused; that is no error as long as it has ended.
            if (await self.get(prediction_id)).status not in TERMINAL_STATUSES:
                raise

    async def delete_model(self, model: str) -> None:
        """Delete a trained version (`owner/name:version`); one that is gone already is fine.

        A `finetune_id` cannot be deleted through Replicate's API.
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
        await self._api.check()

    async def close(self) -> None:
        await self._api.close()

    async def _with_owner(self, destination: str) -> str:
        """The destination with its owner: our own account where none is named."""
        if "/" in destination:
            return destination
        if not self._account:
            async with self._api.request() as client:
                self._account = str((await client.accounts.async_current()).username)
        return f"{self._account}/{destination}"

    async def _ensure_destination(self, destination: str) -> None:
        """Make the destination, visible to us alone, where it is missing."""
        if destination in self._existing_destinations:
            return
        if not await self._model_exists(destination):
            owner, _, name = destination.partition("/")
            try:
                async with self._api.request() as client:
                    await client.models.async_create(owner, name, visibility="private", hardware=self._hardware)
            except ProviderError:
                # Another process may have made it in between.
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

    async def _trainings(self, address: str) -> Any:
        async with self._api.request() as client:
            return await client.trainings.async_list(address)

    async def _predictions(self, address: str) -> Any:
        async with self._api.request() as client:
            return await client.predictions.async_list(address)


def _destination(request: PredictionRequest) -> str:
    destination = str(request.input.get("destination", ""))
    owner, slash, name = destination.rpartition("/")
    if not name or ":" in name or bool(slash) != bool(owner):
        raise ProviderError(
            ErrorKind.FAILED, "Replicate: the destination of a training must be owner/name, or name"
        )
    return destination


def _trainer_input(request: PredictionRequest) -> dict[str, object]:
    return {key: value for key, value in request.input.items() if key != "destination"}


def _find_version(output: object) -> list[str]:
    """The new version, `owner/name:version`, in a training's output."""
    version = output.get("version") if isinstance(output, Mapping) else None
    return [version] if isinstance(version, str) and version else []


def _find_finetune_id(output: object) -> list[str]:
    """The name of what a trainer that runs as a prediction has made."""
    found = output.get("finetune_id") if isinstance(output, Mapping) else output
    return [found.strip()] if isinstance(found, str) and found.strip() else []
