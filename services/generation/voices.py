"""Voices people can speak with: their own, and the stock of each provider."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loguru import logger

from providers.protocols import ErrorKind, ProviderError, SpeechProvider, Voice
from services.core.errors import InvalidRequest
from services.generation.context import UserCatalogue
from services.generation.inputs import Option, UserOptions
from storage.pool import Executor
from storage.users.user_assets import delete_voice_by_provider_id, user_voices

_CACHE_SECONDS = 600.0
_RETRY_SECONDS = 20.0
"""After a provider could not be reached."""
_MAX_STOCK_VOICES = 12
_stock_cache: dict[int, tuple[float, list[Voice]]] = {}


async def voice_options(catalogue: UserCatalogue) -> UserOptions:
    """The person's own voices first, then the stock ones of every provider."""
    voice_provider = catalogue.providers.voices.name
    user_options = [
        Option(f"{voice_provider}/{v.voice_id}", f"🎙 {v.name}")
        for v in await user_voices(catalogue.db, catalogue.user_id)
    ]
    stock = [
        Option(f"{name}/{voice.id}", voice.name)
        for name, provider in catalogue.providers.speech.items()
        for voice in (await _get_stock_voices(provider))[:_MAX_STOCK_VOICES]
    ]
    return {"voice": (*user_options, *stock)}


async def _get_stock_voices(provider: SpeechProvider) -> list[Voice]:
    """A provider's stock voices, asked for now and then; the last known ones where it cannot be reached."""
    fetched_at, voices = _stock_cache.get(id(provider), (float("-inf"), []))
    if time.monotonic() - fetched_at < _CACHE_SECONDS:
        return voices
    try:
        voices = [voice for voice in await provider.list_voices() if not voice.cloned]
    except ProviderError as error:
        logger.warning("voices of {}: {}", provider.name, error)
        _stock_cache[id(provider)] = (time.monotonic() - _CACHE_SECONDS + _RETRY_SECONDS, voices)
        return voices
    _stock_cache[id(provider)] = (time.monotonic(), voices)
    return voices


@asynccontextmanager
async def forget_missing_voice(db: Executor, user_id: int, voice_id: str) -> AsyncIterator[None]:
    """Where the provider no longer has the voice, forget it and ask for another."""
    try:
        yield
    except ProviderError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        await delete_voice_by_provider_id(db, user_id, voice_id)
        _stock_cache.clear()  # it may have been one of the stock
        raise InvalidRequest("speech.voice_gone", detail=error.detail) from error
