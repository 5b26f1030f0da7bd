"""A picture from words."""

from functools import partial

from providers.protocols import PredictionRequest
from services.errors import Refused
from services.generation.catalogue import MODELS, Model
from services.generation.predictions import predict, seed_for
from services.generation.spec import ChoiceInput, Media, Option, Result, ServiceSpec, TextInput, Values
from services.work import Work

_MODELS = MODELS["text_to_image"]
_COUNTS = ("1", "2", "3", "4")
_LIMIT_SECONDS = 300


def _model(values: Values) -> Model:
    return _MODELS[values["model"]]


def _models(values: Values) -> tuple[Option, ...]:
    return tuple(Option(model.id, model.label, f"{model.stars} ⭐") for model in _MODELS.values())


def _sizes(values: Values) -> tuple[Option, ...]:
    model = _MODELS.get(values.get("model", ""), next(iter(_MODELS.values())))
    return tuple(Option(size, size) for size in model.sizes)


def _counts(values: Values) -> tuple[Option, ...]:
    return tuple(Option(count, f"× {count}") for count in _COUNTS)


def _price(values: Values) -> int:
    return _model(values).stars * int(values["count"])


def _requests(work: Work) -> list[PredictionRequest]:
    """One call where the model makes several pictures at once, else one for each."""
    values = work.job.inputs
    model, count = _model(values), int(values["count"])
    calls = 1 if model.count_input else count
    requests = []
    for number in range(1, calls + 1):
        seed = seed_for(work, number)
        given = {**model.extra, "prompt": values["prompt"]}
        if model.size_input:
            given[model.size_input] = model.size_values.get(values["size"], values["size"])
        if model.count_input:
            given[model.count_input] = count
        if model.seed_input:
            given[model.seed_input] = seed
        requests.append(PredictionRequest("image", model.model, given, seed))
    return requests


async def _moderate(work: Work) -> None:
    verdict = await work.providers.moderation.moderate(work.job.inputs["prompt"])
    if not verdict.allowed:
        raise Refused("failure.moderation", detail=", ".join(verdict.categories))


async def run(work: Work) -> Result:
    await work.steps.run("moderate", partial(_moderate, work))
    images = work.providers.images
    predictions = await predict(work, images, _requests(work), limit=_LIMIT_SECONDS)
    outputs = [output for prediction in predictions for output in prediction.outputs]
    return Result(tuple(Media("photo", output) for output in outputs), images.offline)


SPEC = ServiceSpec(
    id="text_to_image",
    event="image/text-to-image.start",
    function_id="generate-text-to-image",
    emoji="🎨",
    inputs=(
        ChoiceInput("model", _models, columns=1),
        TextInput("prompt", max_length=2000),
        ChoiceInput("size", _sizes, columns=4),
        ChoiceInput("count", _counts, columns=4),
    ),
    price=_price,
    run=run,
    concurrency=5,
    actions=("again", "prompt", "size"),
    takes_free_text=True,
)
