"""A picture from words."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS
from services.generation.choices import chosen_model, count_choice, model_choice, size_choice
from services.generation.context import Work
from services.generation.inputs import TextInput, Values
from services.generation.predictions import Ask, predict, seed_for
from services.generation.result import Media, Result
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate

_MODELS = MODELS["text_to_image"]


def _price(values: Values) -> int:
    return chosen_model(_MODELS, values).stars() * int(values["count"])


def _asks(work: Work) -> list[Ask]:
    """One call where the model makes several pictures at once, else one for each."""
    values = work.job.inputs
    model, count = chosen_model(_MODELS, values), int(values["count"])
    asks = []
    for number in range(1, (1 if model.count_input else count) + 1):
        seed = seed_for(work, number)
        given = model.given(prompt=values["prompt"], size=values["size"], count=count, seed=seed)
        asks.append(Ask(PredictionRequest("image", model.model, given, seed)))
    return asks


async def run(work: Work) -> Result:
    await moderate(work, work.job.inputs["prompt"])
    media = work.providers.media
    predictions = await predict(work, media, _asks(work), limit=SPEC.limit_seconds)
    outputs = [output for prediction in predictions for output in prediction.outputs]
    return Result(media=tuple(Media(kind="photo", output=o) for o in outputs), offline=media.offline)


SPEC = ServiceSpec(
    id="text_to_image",
    event="image/text-to-image.start",
    function_id="generate-text-to-image",
    emoji="🎨",
    place=10,
    inputs=(
        model_choice(_MODELS),
        TextInput("prompt", max_length=2000),
        size_choice(_MODELS),
        count_choice(),
    ),
    price=_price,
    run=run,
    limit_seconds=300,
    actions=("again", "prompt", "size", "image_to_video", "lip_sync"),
    takes_free_text=True,
)
