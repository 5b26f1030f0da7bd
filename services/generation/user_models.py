"""What the services around a person's own model share: choosing one, picturing with it, training it."""

import io
import math
import zipfile
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from providers.protocols import PredictionRequest
from services.core.errors import Broken, Refused
from services.generation.catalogue import Model
from services.generation.context import Shelf, Work
from services.generation.inputs import FileRef, Offers, Option, Values
from services.generation.predictions import Ask, predict, seed_for
from services.generation.result import Media, Result
from services.safety.moderation import moderate
from storage.users.user_assets import ModelKind, OwnModel, add_model, own_models


async def model_offers(shelf: Shelf, kind: ModelKind) -> Offers:
    models = [model for model in await own_models(shelf.db, shelf.user_id) if model.kind == kind]
    return {"own_model": tuple(Option(model.id.hex, model.name) for model in models)}


async def find_model(work: Work) -> OwnModel:
    """The model the order names. Raises Refused where it was deleted meanwhile."""
    wanted = UUID(work.job.inputs["own_model"])
    models = await own_models(work.db, work.job.user_id)
    model = next((model for model in models if model.id == wanted), None)
    if model is None:
        raise Refused("own_model.gone")
    return model


def with_trigger(prompt: str, trigger: str) -> str:
    """The prompt with the word that calls the person in it."""
    return prompt if trigger.lower() in prompt.lower() else f"{trigger}, {prompt}"


async def picture(work: Work, model: str, named: Model, own: OwnModel, *, limit: float) -> Result:
    """Pictures of the person: one call where the model makes several at once, else one for each."""
    values, media = work.job.inputs, work.providers.media
    await moderate(work, values["prompt"])
    count = int(values["count"])
    asks = []
    for number in range(1, (1 if named.count_input else count) + 1):
        seed = seed_for(work, number)
        prompt = with_trigger(values["prompt"], own.trigger)
        given = named.given(prompt=prompt, size=values["size"], count=count, seed=seed, own_model=own.version)
        asks.append(Ask(PredictionRequest("image", model, given, seed)))
    predictions = await predict(work, media, asks, limit=limit)
    outputs = [output for prediction in predictions for output in prediction.outputs]
    return Result(media=tuple(Media(kind="photo", output=o) for o in outputs), offline=media.offline)


def training_price(stars_a_step: Decimal, values: Values) -> int:
    return math.ceil(stars_a_step * int(values["steps"]))


def step_options(least: int, most: int, by: int) -> tuple[Option, ...]:
    return tuple(Option(str(steps), f"{steps}") for steps in range(least, most + 1, by))


@dataclass(frozen=True)
class PhotosAsk(Ask):
    """A training's request: the photos go as one zip, under the name that the trainer has for it."""

    images_input: str = "input_images"

    async def with_files(self, work: Work) -> PredictionRequest:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for number, photo in enumerate(work.job.inputs["photos"], 1):
                content = await work.download(FileRef.model_validate(photo).file_id)
                archive.writestr(f"photo-{number:02}.jpg", content)
        return replace(self.request, files={**self.request.files, self.images_input: packed.getvalue()})


async def train(work: Work, named: Model, kind: ModelKind, *, limit: float) -> Result:
    """Train a model on the person's photos, and store it as theirs."""
    values, provider = work.job.inputs, work.providers.trainings
    trigger = f"DPT{work.job.id.hex[-6:].upper()}"
    given = named.given(
        trigger_word=trigger, steps=int(values["steps"]), gender=values["gender"], name=values["name"],
        destination=f"diptych-{work.job.user_id}-{work.job.id.hex[-8:]}",
    )  # fmt: skip
    ask = PhotosAsk(
        PredictionRequest("training", named.model, given, seed_for(work, 1)), images_input=named.images_input
    )
    (prediction,) = await predict(work, provider, [ask], limit=limit)
    if not prediction.outputs:
        raise Broken("failure.provider", detail=f"training {prediction.id} ended without a model")

    async def store() -> None:
        await add_model(
            work.db,
            user_id=work.job.user_id,
            kind=kind,
            name=values["name"],
            trigger=trigger,
            version=prediction.outputs[0],
            offline=provider.offline,
            job_id=work.job.id,
        )

    await work.steps.run("store", store)
    return Result(note="model_training.ready", offline=provider.offline)
