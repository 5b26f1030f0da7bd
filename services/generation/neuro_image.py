"""Pictures of the person, by a model trained on their photos."""

from services.generation.catalogue import MODELS
from services.generation.choices import count_choice, offered_choice, size_choice
from services.generation.context import Shelf, Work
from services.generation.inputs import Offers, TextInput, Values
from services.generation.result import Result
from services.generation.spec import ServiceSpec
from services.generation.user_models import find_model, model_offers, picture

_MODELS = MODELS["neuro_image"]
_STARS = 8


async def _offers(shelf: Shelf) -> Offers:
    return await model_offers(shelf, "v1")


def _price(values: Values) -> int:
    return _STARS * int(values["count"])


async def run(work: Work) -> Result:
    own = await find_model(work)
    named = next(iter(_MODELS.values()))
    return await picture(work, own.version, named, own, limit=SPEC.limit_seconds)  # the person's model itself


SPEC = ServiceSpec(
    id="neuro_image",
    event="image/neuro-image.start",
    function_id="generate-neuro-image",
    emoji="🤳",
    place=80,
    inputs=(
        offered_choice("own_model"),
        TextInput("prompt", max_length=2000),
        size_choice(_MODELS),
        count_choice(),
    ),
    offers=_offers,
    made_by="model_training",
    price=_price,
    run=run,
    limit_seconds=600,
    actions=("again", "prompt", "size", "image_to_video", "lip_sync"),
)
