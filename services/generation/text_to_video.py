"""Text to video."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS, selected_model
from services.generation.choices import model_choice, seconds_choice, size_choice
from services.generation.context import JobContext
from services.generation.inputs import TextInput, Values
from services.generation.predictions import ProviderJob, derive_seed, run_predictions
from services.generation.result import JobResult, Media
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate

_MODELS = MODELS["text_to_video"]


def _price(values: Values) -> int:
    model = selected_model(_MODELS, values)
    return model.credits(int(values["seconds"]) if model.per == "second" else 1)


async def run(context: JobContext) -> JobResult:
    """Make a video from the prompt."""
    values, media = context.job.inputs, context.providers.media
    await moderate(context.steps, context.providers.moderation, values["prompt"])
    model, seed = selected_model(_MODELS, values), derive_seed(context, 1)
    model_input = model.build_input(
        prompt=values["prompt"], size=values["size"], seconds=int(values["seconds"]), seed=seed
    )
    provider_job = ProviderJob(PredictionRequest("video", model.model, model_input, seed))
    (prediction,) = await run_predictions(
        context, media, [provider_job], time_limit_seconds=SPEC.time_limit_seconds
    )
    return JobResult(media=(Media(kind="video", output=prediction.outputs[0]),), offline=media.offline)


SPEC = ServiceSpec(
    id="text_to_video",
    event="video/text-to-video.start",
    function_id="generate-text-to-video",
    emoji="🎬",
    menu_position=20,
    inputs=(
        model_choice(_MODELS),
        TextInput("prompt", max_length=2000),
        size_choice(_MODELS),
        seconds_choice(_MODELS),
    ),
    price=_price,
    run=run,
    concurrency=3,
    time_limit_seconds=1200,
    actions=("again", "prompt"),
)
