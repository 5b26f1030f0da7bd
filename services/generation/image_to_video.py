"""A photo that comes to life, or two photos that flow into each other."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS, Model
from services.generation.choices import chosen_model, fixed_choice, model_choice, seconds_choice
from services.generation.context import Work
from services.generation.inputs import FileInput, FileRef, Option, TextInput, Values
from services.generation.predictions import Ask, predict, seed_for
from services.generation.result import Media, Result
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate

_MODELS = MODELS["image_to_video"]
_PHOTO_BYTES = 10 * 1024 * 1024


def _morphs(values: Values) -> bool:
    return values.get("frames") == "2"


def _fits(model: Model, values: Values) -> bool:
    return bool(model.end_image_input) or not _morphs(values)


def _price(values: Values) -> int:
    model = chosen_model(_MODELS, values)
    return model.stars(int(values["seconds"]) if model.per == "second" else 1)


async def run(work: Work) -> Result:
    values, media = work.job.inputs, work.providers.media
    await moderate(work, values["prompt"])
    model, seed = chosen_model(_MODELS, values), seed_for(work, 1)
    given = model.given(prompt=values["prompt"], seconds=int(values["seconds"]), seed=seed)
    files = {model.image_input: FileRef.model_validate(values["image"])}
    if _morphs(values):
        files[model.end_image_input] = FileRef.model_validate(values["end_image"])
    ask = Ask(PredictionRequest("video", model.model, given, seed), files)
    (prediction,) = await predict(work, media, [ask], limit=SPEC.limit_seconds)
    return Result(media=(Media(kind="video", output=prediction.outputs[0]),), offline=media.offline)


SPEC = ServiceSpec(
    id="image_to_video",
    event="video/image-to-video.start",
    function_id="generate-image-to-video",
    emoji="🌀",
    place=30,
    inputs=(
        fixed_choice("frames", Option("1", "1 🖼"), Option("2", "2 🖼 → morphing"), columns=1),
        model_choice(_MODELS, _fits),
        FileInput("image", ("photo",), max_bytes=_PHOTO_BYTES),
        FileInput("end_image", ("photo",), max_bytes=_PHOTO_BYTES, wanted=_morphs),
        TextInput("prompt", max_length=2000),
        seconds_choice(_MODELS),
    ),
    price=_price,
    run=run,
    concurrency=3,
    limit_seconds=1200,
    actions=("again", "prompt"),
)
