"""Image to prompt: writes a prompt that would produce an image like the user's photo."""

from services.generation.context import JobContext
from services.generation.inputs import FileInput, FileRef, Values
from services.generation.result import JobResult
from services.generation.spec import ServiceSpec

_PRICE = 2


def _price(values: Values) -> int:
    return _PRICE


async def run(context: JobContext) -> JobResult:
    """Describe the user's photo as a prompt."""
    photo = FileRef.model_validate(context.job.inputs["image"])
    vision = context.providers.vision

    async def describe() -> str:
        return await vision.describe(await context.download(photo.file_id))

    return JobResult(
        text=await context.steps.run("describe", describe, retry_outages=True), offline=vision.offline
    )


SPEC = ServiceSpec(
    id="image_to_prompt",
    event="image/image-to-prompt.start",
    function_id="generate-image-to-prompt",
    emoji="🔎",
    menu_position=40,
    inputs=(FileInput("image", ("photo",), max_bytes=10 * 1024 * 1024),),
    price=_price,
    run=run,
    actions=("again", "text_to_image", "speech"),
)
