"""A text, spoken."""

import math
from functools import partial

from services.core.errors import InvalidRequest
from services.durable.steps import retry_while_db_unavailable
from services.generation.choices import user_option_choice
from services.generation.context import JobContext
from services.generation.inputs import TextInput, Values
from services.generation.result import JobResult, Media
from services.generation.spec import ServiceSpec
from services.generation.voices import forget_missing_voice, voice_options
from services.safety.moderation import moderate
from storage.jobs.blobs import put_blob

_CREDITS_PER_1000_CHARS = 8
_BLOB_NAME = "speech"


def _price(values: Values) -> int:
    return max(_CREDITS_PER_1000_CHARS, math.ceil(len(values["text"]) * _CREDITS_PER_1000_CHARS / 1000))


async def run(context: JobContext) -> JobResult:
    values = context.job.inputs
    await moderate(context, values["text"])
    provider_name, _, voice_id = values["voice"].partition("/")
    provider = context.providers.speech.get(provider_name)
    if provider is None:
        raise InvalidRequest("speech.voice_gone")

    async def speak() -> str:
        """What is spoken is kept here until it is delivered: the provider would have to speak it again."""
        async with forget_missing_voice(context.db, context.job.user_id, voice_id):
            audio = await provider.speak(values["text"], voice_id, context.job.language)
        await retry_while_db_unavailable(partial(put_blob, context.db, context.job.id, _BLOB_NAME, audio))
        return _BLOB_NAME

    blob = await context.steps.run("speak", speak)
    return JobResult(media=(Media(kind="voice", output=blob, blob=True),), offline=provider.offline)


SPEC = ServiceSpec(
    id="speech",
    event="speech/text-to-speech.start",
    function_id="generate-speech",
    emoji="🔊",
    menu_position=50,
    inputs=(user_option_choice("voice"), TextInput("text", max_length=4000)),
    user_options=voice_options,
    price=_price,
    run=run,
    time_limit_seconds=180,
    actions=("again", "text"),
)
