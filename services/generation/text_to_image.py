"""Text to image."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS, selected_model
from services.generation.choices import count_choice, model_choice, size_choice
from services.generation.context import JobContext
from services.generation.inputs import TextInput, Values
from services.generation.predictions import ProviderJob, derive_seed, run_predictions
from services.generation.result import JobResult, Media
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate

_MODELS = MODELS["text_to_image"]


def _price(values: Values) -> int:
    return selected_model(_MODELS, values).credits() * int(values["count"])


def _build_provider_jobs(context: JobContext) -> list[ProviderJob]:
    """One prediction if the model can make several images at once, otherwise one per image."""
    values = context.job.inputs
    model, count = selected_model(_MODELS, values), int(values["count"])
    provider_jobs = []
    for number in range(1, (1 if model.count_input else count) + 1):
        seed = derive_seed(context, number)
        model_input = model.build_input(prompt=values["prompt"], size=values["size"], count=count, seed=seed)
        provider_jobs.append(ProviderJob(PredictionRequest("image", model.model, model_input, seed)))
    return provider_jobs


async def run(context: JobContext) -> JobResult:
    """Make one to four images from the prompt."""
    await moderate(context.steps, context.providers.moderation, context.job.inputs["prompt"])
    media = context.providers.media
    predictions = await run_predictions(
        context, media, _build_provider_jobs(context), time_limit_seconds=SPEC.time_limit_seconds
    )
    outputs = [output for prediction in predictions for output in prediction.outputs]
    return JobResult(media=tuple(Media(kind="photo", output=o) for o in outputs), offline=media.offline)


SPEC = ServiceSpec(
    id="text_to_image",
    event="image/text-to-image.start",
    function_id="generate-text-to-image",
    emoji="🎨",
    menu_position=10,
    inputs=(
        model_choice(_MODELS),
        TextInput("prompt", max_length=2000),
        size_choice(_MODELS),
        count_choice(),
    ),
    price=_price,
    run=run,
    time_limit_seconds=300,
    actions=("again", "prompt", "size", "image_to_video", "lip_sync"),
    takes_free_text=True,
)
