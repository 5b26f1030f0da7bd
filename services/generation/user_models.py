"""Code shared by the services for user models: choosing a model, making images with it, and training it."""

import io
import math
import zipfile
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from providers.protocols import PredictionRequest
from services.core.errors import InvalidRequest, PermanentFailure
from services.generation.catalogue import Model
from services.generation.context import JobContext, UserCatalogue
from services.generation.inputs import FileRef, Option, UserOptions, Values
from services.generation.predictions import ProviderJob, derive_seed, run_predictions
from services.generation.result import JobResult, Media
from services.safety.moderation import moderate
from storage.users.user_assets import ModelKind, UserModel, add_model, user_models


async def model_options(catalogue: UserCatalogue, kind: ModelKind) -> UserOptions:
    """Return the options of the input `own_model`: the user's models of one kind, newest first."""
    models = [model for model in await user_models(catalogue.db, catalogue.user_id) if model.kind == kind]
    return {"own_model": tuple(Option(model.id.hex, model.name) for model in models)}


async def find_user_model(context: JobContext) -> UserModel:
    """Return the user model chosen in the order. Raises InvalidRequest if it has been deleted."""
    model_id = UUID(context.job.inputs["own_model"])
    models = await user_models(context.db, context.job.user_id)
    model = next((model for model in models if model.id == model_id), None)
    if model is None:
        raise InvalidRequest("own_model.gone")
    return model


def _add_trigger_word(prompt: str, trigger_word: str) -> str:
    """Add the trigger word, which makes the model show the user."""
    return prompt if trigger_word.lower() in prompt.lower() else f"{trigger_word}, {prompt}"


async def generate_images(
    context: JobContext,
    model_name: str,
    catalogue_model: Model,
    user_model: UserModel,
    *,
    time_limit_seconds: float,
) -> JobResult:
    """Make images of the user: in one prediction if the model can make several at once, otherwise one per image.

    Args:
        context: The job's context. The job has the inputs `prompt`, `size` and `count`.
        model_name: The provider's name of the model to run: the user model itself, or one that takes it as an input.
        catalogue_model: The catalogue entry, with the names of the model's inputs.
        user_model: The user model.
        time_limit_seconds: The time limit for the predictions.

    Raises:
        Failure: The prompt is not allowed, or the provider failed.
    """
    values, media = context.job.inputs, context.providers.media
    await moderate(context.steps, context.providers.moderation, values["prompt"])
    count = int(values["count"])
    provider_jobs = []
    for number in range(1, (1 if catalogue_model.count_input else count) + 1):
        seed = derive_seed(context, number)
        prompt = _add_trigger_word(values["prompt"], user_model.trigger_word)
        model_input = catalogue_model.build_input(
            prompt=prompt, size=values["size"], count=count, seed=seed, own_model=user_model.version
        )
        provider_jobs.append(ProviderJob(PredictionRequest("image", model_name, model_input, seed)))
    predictions = await run_predictions(context, media, provider_jobs, time_limit_seconds=time_limit_seconds)
    outputs = [output for prediction in predictions for output in prediction.outputs]
    return JobResult(media=tuple(Media(kind="photo", output=o) for o in outputs), offline=media.offline)


def training_price(credits_per_step: Decimal, values: Values) -> int:
    """Calculate the price of a training with the chosen number of steps, in whole credits."""
    return math.ceil(credits_per_step * int(values["steps"]))


def step_options(minimum: int, maximum: int, increment: int) -> tuple[Option, ...]:
    """Return options for the number of training steps, from `minimum` to `maximum`."""
    return tuple(Option(str(steps), f"{steps}") for steps in range(minimum, maximum + 1, increment))


@dataclass(frozen=True)
class _TrainingJob(ProviderJob):
    """A training to start, with the user's photos as one zip file.

    Attributes:
        images_input: The trainer's name for the input that takes the zip file.
    """

    images_input: str = "input_images"

    async def build_request(self, context: JobContext) -> PredictionRequest:
        """Download the photos of the input `photos` and return the request with them as a zip file."""
        zip_buffer = io.BytesIO()
        with zipfile.ZipFile(zip_buffer, "w", zipfile.ZIP_STORED) as archive:
            for number, photo in enumerate(context.job.inputs["photos"], 1):
                content = await context.download(FileRef.model_validate(photo).file_id)
                archive.writestr(f"photo-{number:02}.jpg", content)
        return replace(self.request, files={**self.request.files, self.images_input: zip_buffer.getvalue()})


async def train_model(
    context: JobContext, catalogue_model: Model, kind: ModelKind, *, time_limit_seconds: float
) -> JobResult:
    """Train a model on the user's photos and store it as a user model.

    Args:
        context: The job's context. The job has the inputs `photos`, `name`, `gender` and `steps`.
        catalogue_model: The trainer.
        kind: The kind of the new model. Each service offers the models of one kind.
        time_limit_seconds: The time limit for the training.

    Raises:
        Failure: The provider failed.
    """
    values, provider = context.job.inputs, context.providers.trainings
    trigger_word = f"DPT{context.job.id.hex[-6:].upper()}"
    model_input = catalogue_model.build_input(
        trigger_word=trigger_word, steps=int(values["steps"]), gender=values["gender"], name=values["name"],
        destination=f"diptych-{context.job.user_id}-{context.job.id.hex[-8:]}",
    )  # fmt: skip
    training_job = _TrainingJob(
        PredictionRequest("training", catalogue_model.model, model_input, derive_seed(context, 1)),
        images_input=catalogue_model.images_input,
    )
    (prediction,) = await run_predictions(context, provider, [training_job], time_limit_seconds=time_limit_seconds)
    if not prediction.outputs:
        raise PermanentFailure("failure.provider", detail=f"training {prediction.id} ended without a model")

    async def store() -> None:
        await add_model(
            context.db,
            user_id=context.job.user_id,
            kind=kind,
            name=values["name"],
            trigger_word=trigger_word,
            version=prediction.outputs[0],
            offline=provider.offline,
            job_id=context.job.id,
        )

    await context.steps.run("store", store)
    return JobResult(note="model_training.ready", offline=provider.offline)
