"""Image to video: animates a photo, or morphs one photo into another."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS, Model, selected_model
from services.generation.choices import fixed_choice, model_choice, seconds_choice
from services.generation.context import JobContext
from services.generation.inputs import FileInput, FileRef, Option, TextInput, Values
from services.generation.predictions import ProviderJob, derive_seed, run_predictions
from services.generation.result import JobResult, Media
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate

_MODELS = MODELS["image_to_video"]
_MAX_PHOTO_BYTES = 10 * 1024 * 1024


def _has_two_frames(values: Values) -> bool:
    return values.get("frames") == "2"


def _supports_frames(model: Model, values: Values) -> bool:
    return bool(model.end_image_input) or not _has_two_frames(values)


def _price(values: Values) -> int:
    model = selected_model(_MODELS, values)
    return model.credits(int(values["seconds"]) if model.per == "second" else 1)


async def run(context: JobContext) -> JobResult:
    """Animate the photo. If there are two photos, the video ends with the second one."""
    values, media = context.job.inputs, context.providers.media
    await moderate(context.steps, context.providers.moderation, values["prompt"])
    model, seed = selected_model(_MODELS, values), derive_seed(context, 1)
    model_input = model.build_input(prompt=values["prompt"], seconds=int(values["seconds"]), seed=seed)
    files = {model.image_input: FileRef.model_validate(values["image"])}
    if _has_two_frames(values):
        files[model.end_image_input] = FileRef.model_validate(values["end_image"])
    provider_job = ProviderJob(PredictionRequest("video", model.model, model_input, seed), files)
    (prediction,) = await run_predictions(
        context, media, [provider_job], time_limit_seconds=SPEC.time_limit_seconds
    )
    return JobResult(media=(Media(kind="video", output=prediction.outputs[0]),), offline=media.offline)


SPEC = ServiceSpec(
    id="image_to_video",
    event="video/image-to-video.start",
    function_id="generate-image-to-video",
    emoji="🌀",
    menu_position=30,
    inputs=(
        fixed_choice("frames", Option("1", "1 🖼"), Option("2", "2 🖼 → morphing"), columns=1),
        model_choice(_MODELS, _supports_frames),
        FileInput("image", ("photo",), max_bytes=_MAX_PHOTO_BYTES),
        FileInput("end_image", ("photo",), max_bytes=_MAX_PHOTO_BYTES, needed=_has_two_frames),
        TextInput("prompt", max_length=2000),
        seconds_choice(_MODELS),
    ),
    price=_price,
    run=run,
    concurrency=3,
    time_limit_seconds=1200,
    actions=("again", "prompt"),
)
