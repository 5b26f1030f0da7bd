"""Text to speech, with a stock voice or a user voice."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from providers.protocols import ErrorKind, ProviderError
from services.core.errors import InvalidRequest
from services.durable.retry import retry_while_db_unavailable
from services.generation.choices import user_option_choice
from services.generation.context import JobContext, UserCatalogue
from services.generation.inputs import Option, TextInput, UserOptions, Values
from services.generation.result import JobResult, Media
from services.generation.spec import ServiceSpec
from services.safety.moderation import moderate
from storage.jobs.blobs import put_blob
from storage.users.user_assets import delete_voice_by_provider_id, user_voices

_CREDITS_PER_1000_CHARS: Final = 8
_BLOB_NAME: Final = "speech"
_MAX_STOCK_VOICES: Final = 12
"""Per provider."""


async def _voice_options(catalogue: UserCatalogue) -> UserOptions:
    """List the user voices, then each provider's stock voices. Option values are `<provider>/<voice id>`."""
    providers = catalogue.providers
    own = [
        Option(f"{providers.voices.name}/{voice.voice_id}", f"🎙 {voice.name}")
        for voice in await user_voices(catalogue.db, catalogue.user_id)
    ]
    stock = [
        Option(f"{name}/{voice.id}", voice.name)
        for name, provider in providers.speech.items()
        for voice in (await providers.stock_voices.list(provider))[:_MAX_STOCK_VOICES]
    ]
    return {"voice": (*own, *stock)}


def _price(values: Values) -> int:
    return max(_CREDITS_PER_1000_CHARS, math.ceil(len(values["text"]) * _CREDITS_PER_1000_CHARS / 1000))


async def run(context: JobContext) -> JobResult:
    """Speak the text. The voice message is stored as a blob because the provider does not keep it."""
    values = context.job.inputs
    await moderate(context.steps, context.providers.moderation, values["text"])
    provider_name, _, voice_id = values["voice"].partition("/")
    provider = context.providers.speech.get(provider_name)
    if provider is None:
        raise InvalidRequest("speech.voice_gone")

    async def speak() -> str:
        async with _forget_missing_voice(context, voice_id):
            audio = await provider.speak(values["text"], voice_id, context.job.language)
        await retry_while_db_unavailable(partial(put_blob, context.db, context.job.id, _BLOB_NAME, audio))
        return _BLOB_NAME

    blob = await context.steps.run("speak", speak)
    return JobResult(media=(Media(kind="voice", output=blob, blob=True),), offline=provider.offline)


@asynccontextmanager
async def _forget_missing_voice(context: JobContext, voice_id: str) -> AsyncIterator[None]:
    """If the provider no longer has the voice, stop offering it and raise InvalidRequest."""
    try:
        yield
    except ProviderError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        await delete_voice_by_provider_id(context.db, context.job.user_id, voice_id)
        context.providers.stock_voices.clear()  # it may have been a stock voice
        raise InvalidRequest("speech.voice_gone", detail=error.detail) from error


SPEC = ServiceSpec(
    id="speech",
    event="speech/text-to-speech.start",
    function_id="generate-speech",
    emoji="🔊",
    menu_position=50,
    inputs=(user_option_choice("voice"), TextInput("text", max_length=4000)),
    user_options=_voice_options,
    price=_price,
    run=run,
    actions=("again", "text"),
)
