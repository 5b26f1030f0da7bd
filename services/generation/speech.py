"""A text, spoken."""

import math
from functools import partial

from services.core.errors import Refused
from services.durable.steps import patiently
from services.generation.choices import offered_choice
from services.generation.context import Work
from services.generation.inputs import TextInput, Values
from services.generation.result import Media, Result
from services.generation.spec import ServiceSpec
from services.generation.voices import forget_lost_voice, voice_offers
from services.safety.moderation import moderate
from storage.jobs.blobs import put_blob

_STARS_A_THOUSAND = 8
_BLOB = "speech"


def _price(values: Values) -> int:
    return max(_STARS_A_THOUSAND, math.ceil(len(values["text"]) * _STARS_A_THOUSAND / 1000))


async def run(work: Work) -> Result:
    values = work.job.inputs
    await moderate(work, values["text"])
    provider_name, _, voice_id = values["voice"].partition("/")
    provider = work.providers.speech.get(provider_name)
    if provider is None:
        raise Refused("speech.voice_gone")

    async def speak() -> str:
        """What is spoken is kept here until it is delivered: the provider would have to speak it again."""
        async with forget_lost_voice(work.db, work.job.user_id, voice_id):
            sound = await provider.speak(values["text"], voice_id, work.job.language)
        await patiently(partial(put_blob, work.db, work.job.id, _BLOB, sound))
        return _BLOB

    blob = await work.steps.run("speak", speak)
    return Result(media=(Media(kind="voice", output=blob, blob=True),), offline=provider.offline)


SPEC = ServiceSpec(
    id="speech",
    event="speech/text-to-speech.start",
    function_id="generate-speech",
    emoji="🔊",
    place=50,
    inputs=(offered_choice("voice"), TextInput("text", max_length=4000)),
    offers=voice_offers,
    price=_price,
    run=run,
    limit_seconds=180,
    actions=("again", "text"),
)
