"""A film from words."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS
from services.generation.choices import chosen_model, model_choice, seconds_choice, size_choice
from services.generation.context import Work
from services.generation.inputs import TextInput, Values
from services.generation.predictions import Ask, predict, seed_for
from services.generation.result import Media, Result
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate

_MODELS = MODELS["text_to_video"]


def _price(values: Values) -> int:
    model = chosen_model(_MODELS, values)
    return model.stars(int(values["seconds"]) if model.per == "second" else 1)


async def run(work: Work) -> Result:
    values, media = work.job.inputs, work.providers.media
    await moderate(work, values["prompt"])
    model, seed = chosen_model(_MODELS, values), seed_for(work, 1)
    given = model.given(prompt=values["prompt"], size=values["size"], seconds=int(values["seconds"]), seed=seed)
    ask = Ask(PredictionRequest("video", model.model, given, seed))
    (prediction,) = await predict(work, media, [ask], limit=SPEC.limit_seconds)
    return Result(media=(Media(kind="video", output=prediction.outputs[0]),), offline=media.offline)


SPEC = ServiceSpec(
    id="text_to_video",
    event="video/text-to-video.start",
    function_id="generate-text-to-video",
    emoji="🎬",
    place=20,
    inputs=(
        model_choice(_MODELS),
        TextInput("prompt", max_length=2000),
        size_choice(_MODELS),
        seconds_choice(_MODELS),
    ),
    price=_price,
    run=run,
    concurrency=3,
    limit_seconds=1200,
    actions=("again", "prompt"),
)
