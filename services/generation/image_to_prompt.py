"""Words that would make a picture like this one."""

from services.generation.context import Work
from services.generation.inputs import FileInput, FileRef, Values
from services.generation.result import Result
from services.generation.spec import ServiceSpec

_PRICE = 2


def _price(values: Values) -> int:
    return _PRICE


async def run(work: Work) -> Result:
    photo = FileRef.model_validate(work.job.inputs["image"])
    vision = work.providers.vision

    async def describe() -> str:
        return await vision.describe(await work.download(photo.file_id))

    return Result(text=await work.steps.run("describe", describe, patient=True), offline=vision.offline)


SPEC = ServiceSpec(
    id="image_to_prompt",
    event="image/image-to-prompt.start",
    function_id="generate-image-to-prompt",
    emoji="🔎",
    place=40,
    inputs=(FileInput("image", ("photo",), max_bytes=10 * 1024 * 1024),),
    price=_price,
    run=run,
    limit_seconds=120,
    actions=("again", "text_to_image", "speech"),
)
