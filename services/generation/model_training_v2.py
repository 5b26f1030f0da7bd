"""FLUX pro, finetuned on the person's photos."""

from decimal import Decimal

from services.generation.catalogue import MODELS
from services.generation.choices import fixed_choice
from services.generation.context import Work
from services.generation.inputs import Option, PhotosInput, TextInput, Values
from services.generation.result import Result
from services.generation.spec import ServiceSpec
from services.generation.user_models import step_options, train, training_price

_MODEL = next(iter(MODELS["model_training_v2"].values()))
_STARS_A_STEP = Decimal("2.1")


def _price(values: Values) -> int:
    return training_price(_STARS_A_STEP, values)


async def run(work: Work) -> Result:
    return await train(work, _MODEL, "v2", limit=SPEC.limit_seconds)


SPEC = ServiceSpec(
    id="model_training_v2",
    event="training/model-training-v2.start",
    function_id="generate-model-training-v2",
    emoji="🔮",
    place=110,
    inputs=(
        PhotosInput("photos", least=10, most=50),
        TextInput("name", max_length=30, main=False),
        fixed_choice("gender", Option("female", "♀"), Option("male", "♂"), columns=2),
        fixed_choice("steps", *step_options(100, 1000, 100)),
    ),
    price=_price,
    run=run,
    concurrency=2,
    works_at=lambda providers: providers.trainings,
    limit_seconds=3 * 3600,
    notify_failure_later=True,
    actions=("neuro_image_v2",),
)
