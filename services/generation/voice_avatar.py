"""Voice avatar: clones a voice from the user's recording."""

from datetime import datetime

from services.generation.context import JobContext
from services.generation.inputs import MB, FileInput, FileRef, TextInput, Values
from services.generation.result import JobResult
from services.generation.spec import ServiceSpec
from storage.users.user_assets import add_voice

_PRICE = 56
_MAX_SECONDS = 600
_MAX_BYTES = 10 * MB
"""The largest recording that ElevenLabs accepts: https://elevenlabs.io/docs/api-reference/voices/ivc/create"""


def _price(values: Values) -> int:
    return _PRICE


async def run(context: JobContext) -> JobResult:
    """Clone the voice and store it as a user voice."""
    values, provider = context.job.inputs, context.providers.voices
    recording = FileRef.model_validate(values["recording"])
    # `find_voice` recognises the voice only by its name, so the name contains part of the job's id.
    provider_name = f"{values['name']} {context.job.id.hex[-8:]}"

    async def clone() -> str:
        return await provider.clone(provider_name, {"recording.ogg": await context.download(recording.file_id)})

    async def find(since: datetime) -> str | None:
        return await provider.find_voice(provider_name)

    async def store() -> None:
        await add_voice(
            context.db, user_id=context.job.user_id, name=values["name"], voice_id=voice_id, job_id=context.job.id
        )

    voice_id = await context.steps.run("clone", clone, reconcile=find, retry_outages=True)
    await context.steps.run("store", store)
    return JobResult(note="voice_avatar.ready", offline=provider.offline)


SPEC = ServiceSpec(
    id="voice_avatar",
    event="speech/voice-avatar.start",
    function_id="create-voice-avatar",
    emoji="🎙",
    menu_position=60,
    inputs=(
        FileInput("recording", ("voice", "audio"), max_bytes=_MAX_BYTES, max_seconds=_MAX_SECONDS),
        TextInput("name", max_length=40, main=False),
    ),
    price=_price,
    run=run,
    concurrency=3,
    actions=("speech",),
)
