"""Model training: a finetune of FLUX pro on the user's photos."""

from decimal import Decimal

from services.generation.catalogue import MODELS
from services.generation.choices import fixed_choice
from services.generation.context import JobContext
from services.generation.inputs import Option, PhotosInput, TextInput, Values
from services.generation.result import JobResult
from services.generation.spec import ServiceSpec
from services.generation.user_models import step_options, train_model, training_price

_MODEL = next(iter(MODELS["model_training_v2"].values()))
_CREDITS_PER_STEP = Decimal("2.1")


def _price(values: Values) -> int:
    return training_price(_CREDITS_PER_STEP, values)


async def run(context: JobContext) -> JobResult:
    """Train a user model (see `train_model`)."""
    return await train_model(context, _MODEL, "v2", time_limit_seconds=SPEC.time_limit_seconds)


SPEC = ServiceSpec(
    id="model_training_v2",
    event="training/model-training-v2.start",
    function_id="generate-model-training-v2",
    emoji="🔮",
    menu_position=110,
    inputs=(
        PhotosInput("photos", min_count=10, max_count=50),
        TextInput("name", max_length=30, main=False),
        fixed_choice("gender", Option("female", "♀"), Option("male", "♂"), columns=2),
        fixed_choice("steps", *step_options(100, 1000, 100)),
    ),
    price=_price,
    run=run,
    concurrency=2,
    cancel_at=lambda providers: providers.trainings,
    time_limit_seconds=3 * 3600,
    notify_failure_later=True,
    actions=("neuro_image_v2",),
)
