"""Images of the user, made with a finetune of FLUX pro on their photos."""

from services.generation.catalogue import MODELS
from services.generation.choices import count_choice, size_choice, user_option_choice
from services.generation.context import JobContext, UserCatalogue
from services.generation.inputs import TextInput, UserOptions, Values
from services.generation.result import JobResult
from services.generation.spec import ServiceSpec
from services.generation.user_models import find_user_model, generate_images, model_options

_MODELS = MODELS["neuro_image_v2"]
_PRICE_PER_IMAGE = 13


async def _user_options(catalogue: UserCatalogue) -> UserOptions:
    return await model_options(catalogue, "v2")


def _price(values: Values) -> int:
    return _PRICE_PER_IMAGE * int(values["count"])


async def run(context: JobContext) -> JobResult:
    """Run FLUX pro with the id of the user's finetune as an input."""
    user_model, catalogue_model = await find_user_model(context), next(iter(_MODELS.values()))
    return await generate_images(
        context, catalogue_model.model, catalogue_model, user_model, time_limit_seconds=SPEC.time_limit_seconds
    )


SPEC = ServiceSpec(
    id="neuro_image_v2",
    event="image/neuro-image-v2.start",
    function_id="generate-neuro-image-v2",
    emoji="💎",
    menu_position=90,
    inputs=(
        user_option_choice("own_model"),
        TextInput("prompt", max_length=2000),
        size_choice(_MODELS),
        count_choice(),
    ),
    user_options=_user_options,
    created_by="model_training_v2",
    price=_price,
    run=run,
    time_limit_seconds=600,
    actions=("again", "prompt", "size", "image_to_video", "lip_sync"),
)
