"""Voices people can speak with: their own, and the stock of each provider."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loguru import logger

from providers.protocols import ErrorKind, ProviderError, SpeechProvider, Voice
from services.core.errors import Refused
from services.generation.context import Shelf
from services.generation.inputs import Offers, Option
from storage.pool import Executor
from storage.users.user_assets import forget_voice, own_voices

_KEEP_SECONDS = 600.0
_ASK_AGAIN_SECONDS = 20.0
"""After a provider could not be reached."""
_STOCK_SHOWN = 12
_stock: dict[int, tuple[float, list[Voice]]] = {}


async def voice_offers(shelf: Shelf) -> Offers:
    """The person's own voices first, then the stock ones of every provider."""
    maker = shelf.providers.voices.name
    own = [Option(f"{maker}/{v.voice_id}", f"🎙 {v.name}") for v in await own_voices(shelf.db, shelf.user_id)]
    stock = [
        Option(f"{name}/{voice.id}", voice.name)
        for name, provider in shelf.providers.speech.items()
        for voice in (await _stock_of(provider))[:_STOCK_SHOWN]
    ]
    return {"voice": (*own, *stock)}


async def _stock_of(provider: SpeechProvider) -> list[Voice]:
    """A provider's stock voices, asked for now and then; the last known ones where it cannot be reached."""
    asked, voices = _stock.get(id(provider), (float("-inf"), []))
    if time.monotonic() - asked < _KEEP_SECONDS:
        return voices
    try:
        voices = [voice for voice in await provider.voices() if not voice.own]
    except ProviderError as error:
        logger.warning("voices of {}: {}", provider.name, error)
        _stock[id(provider)] = (time.monotonic() - _KEEP_SECONDS + _ASK_AGAIN_SECONDS, voices)
        return voices
    _stock[id(provider)] = (time.monotonic(), voices)
    return voices


@asynccontextmanager
async def forget_lost_voice(db: Executor, user_id: int, voice_id: str) -> AsyncIterator[None]:
    """Where the provider no longer has the voice, forget it and ask for another."""
    try:
        yield
    except ProviderError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        await forget_voice(db, user_id, voice_id)
        _stock.clear()  # it may have been one of the stock
        raise Refused("speech.voice_gone", detail=error.detail) from error
