"""A cache of the speech providers' stock voices."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache
from loguru import logger

from providers.protocols import ProviderError, SpeechProvider, Voice

_REFRESH_SECONDS: Final = 600.0
_RETRY_SECONDS: Final = 20.0
"""The delay before a provider that could not be reached is asked again."""
_MAX_PROVIDERS: Final = 16


@dataclass(frozen=True)
class _VoiceList:
    voices: tuple[Voice, ...]
    expires_at: float


class StockVoices:
    """Each provider's stock voices, fetched at most once every ten minutes.

    Args:
        clock: Returns the time in seconds, like `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_provider: LRUCache[str, _VoiceList] = LRUCache(_MAX_PROVIDERS)

    async def list(self, provider: SpeechProvider) -> tuple[Voice, ...]:
        """List a provider's stock voices.

        If the provider cannot be reached, the last known list is used, and the provider is asked again after 20
        seconds.

        Args:
            provider: The provider. Its list is cached under its name.

        Returns:
            The voices in the provider's order; empty if the provider was never reached.
        """
        cached = self._by_provider.get(provider.name)
        if cached is not None and self._clock() < cached.expires_at:
            return cached.voices
        try:
            voices = tuple(voice for voice in await provider.list_voices() if not voice.cloned)
            lifetime = _REFRESH_SECONDS
        except ProviderError as error:
            logger.warning("voices not listed", provider=provider.name, error=error)
            voices = cached.voices if cached is not None else ()
            lifetime = _RETRY_SECONDS
        self._by_provider[provider.name] = _VoiceList(voices, self._clock() + lifetime)
        return voices

    def clear(self) -> None:
        """Clear the cache, because a voice in it no longer exists."""
        self._by_provider.clear()
