"""A voice of one's own, made of a recording."""

from datetime import datetime

from services.generation.context import Work
from services.generation.inputs import MB, FileInput, FileRef, TextInput, Values
from services.generation.result import Result
from services.generation.spec import ServiceSpec
from storage.users.user_assets import add_voice

_PRICE = 56
_LONGEST_SECONDS = 600
_LARGEST_BYTES = 10 * MB
"""What ElevenLabs takes: https://elevenlabs.io/docs/api-reference/voices/ivc/create"""


def _price(values: Values) -> int:
    return _PRICE


async def run(work: Work) -> Result:
    values, provider = work.job.inputs, work.providers.voices
    recording = FileRef.model_validate(values["recording"])
    # Providers tell voices apart by name alone; the job's id makes it one of a kind.
    unique = f"{values['name']} {work.job.id.hex[-8:]}"

    async def clone() -> str:
        return await provider.clone(unique, {"recording.ogg": await work.download(recording.file_id)})

    async def find(since: datetime) -> str | None:
        return await provider.find_voice(unique)

    async def store() -> None:
        await add_voice(
            work.db, user_id=work.job.user_id, name=values["name"], voice_id=voice_id, job_id=work.job.id
        )

    voice_id = await work.steps.run("clone", clone, recover=find, patient=True)
    await work.steps.run("store", store)
    return Result(note="voice_avatar.ready", offline=provider.offline)


SPEC = ServiceSpec(
    id="voice_avatar",
    event="speech/voice-avatar.start",
    function_id="create-voice-avatar",
    emoji="🎙",
    place=60,
    inputs=(
        FileInput("recording", ("voice", "audio"), max_bytes=_LARGEST_BYTES, max_seconds=_LONGEST_SECONDS),
        TextInput("name", max_length=40, main=False),
    ),
    price=_price,
    run=run,
    concurrency=3,
    limit_seconds=300,
    actions=("speech",),
)
