"""ElevenLabs: speech in many languages, and voice cloning."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import PurePath

import httpx
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.request_options import RequestOptions
from elevenlabs.types import Voice as VoiceResponse

from providers.elevenlabs.errors import translate_elevenlabs_errors
from providers.media_type import detect_media_type
from providers.protocols import ErrorKind, ProviderError, Voice
from providers.tls import ssl_context

_BASE_URL = "https://api.elevenlabs.io"
MODEL = "eleven_multilingual_v2"
_OUTPUT_FORMAT = "opus_48000_64"
"""OGG/Opus, the format of Telegram's voice messages. ElevenLabs' free tier has no Opus."""
MAX_SAMPLE_BYTES = 10 * 1024 * 1024
"""The largest recording for a clone: https://elevenlabs.io/docs/api-reference/voices/ivc/create"""
_NO_RETRIES = RequestOptions(max_retries=0)
"""By default the client retries after 429 and 5xx, so a voice could be created and paid for twice."""
_PAGE_SIZE = 100
_MAX_PAGES = 20
_VOICE_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_EXTENSIONS = {
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/mp4": ".m4a",
    "audio/flac": ".flac",
}


class ElevenLabsVoices:
    """A VoiceProvider that uses the ElevenLabs API. The cloned voices of all users are in one account.

    Args:
        api_key: The account's API key.
        base_url: The URL of the API, with or without `/v1`; None for the official one.
        model: The speech model.
        timeout: Seconds for one request, including a whole speech or an upload.

    Attributes:
        max_text_length: The longest text that MODEL accepts, in characters: https://elevenlabs.io/docs/models

    Raises:
        ValueError: The key is empty.
    """

    name = "elevenlabs"
    offline = False
    max_text_length = 10_000

    def __init__(self, api_key: str, base_url: str | None, *, model: str = MODEL, timeout: float = 180.0) -> None:
        if not api_key:
            raise ValueError("ElevenLabs' API key is empty")
        transport = httpx.AsyncHTTPTransport(verify=ssl_context(), limits=httpx.Limits(max_connections=20))
        self._http = httpx.AsyncClient(transport=transport, timeout=timeout)
        api_url = (base_url or _BASE_URL).rstrip("/").removesuffix("/v1")
        self._client = AsyncElevenLabs(api_key=api_key, base_url=api_url, timeout=timeout, httpx_client=self._http)
        self._model = model
        self._timeout = timeout

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        """Speak a text. The model detects the language itself, so `language` is not sent."""
        _validate_voice_id(voice_id)
        if not re.search(r"\w", text) or len(text) > self.max_text_length:
            raise ProviderError(
                ErrorKind.BAD_INPUT, f"ElevenLabs: text is empty or longer than {self.max_text_length} characters"
            )
        async with translate_elevenlabs_errors(self._timeout):
            parts = self._client.text_to_speech.convert(
                voice_id,
                text=text,
                model_id=self._model,
                output_format=_OUTPUT_FORMAT,
                request_options=_NO_RETRIES,
            )
            audio = b"".join([part async for part in parts])
        if detect_media_type(audio) != "audio/ogg":
            raise ProviderError(ErrorKind.FAILED, "ElevenLabs: speech is not OGG/Opus")
        return audio

    async def list_voices(self) -> list[Voice]:
        """List the account's voices. Those in the category `cloned` belong to users."""
        return [
            Voice(voice.voice_id, voice.name or voice.voice_id, cloned=voice.category == "cloned")
            async for voice in self._search()
        ]

    async def clone(self, name: str, samples: Mapping[str, bytes]) -> str:
        """Clone a voice from recordings of at most 10 MB each."""
        if not samples or any(len(data) > MAX_SAMPLE_BYTES for data in samples.values()):
            raise ProviderError(
                ErrorKind.BAD_INPUT, f"ElevenLabs: recording is missing or larger than {MAX_SAMPLE_BYTES} bytes"
            )
        files = [(_file_name(given, data), data, detect_media_type(data)) for given, data in samples.items()]
        async with translate_elevenlabs_errors(self._timeout):
            response = await self._client.voices.ivc.create(
                name=name, files=list(files), request_options=_NO_RETRIES
            )
            return str(response.voice_id)

    async def find_voice(self, name: str) -> str | None:
        """Return the id of the newest cloned voice with exactly this name."""
        async for voice in self._search(search=name, category="cloned"):
            if voice.name == name:
                return voice.voice_id
        return None

    async def delete(self, voice_id: str) -> None:
        """Delete a voice. Not an error if it no longer exists."""
        _validate_voice_id(voice_id)
        try:
            async with translate_elevenlabs_errors(self._timeout):
                await self._client.voices.delete(voice_id, request_options=_NO_RETRIES)
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise

    async def check(self) -> None:
        """Raise ProviderError if ElevenLabs cannot be used with this key."""
        async with translate_elevenlabs_errors(self._timeout):
            await self._client.voices.search(page_size=1, include_total_count=False, request_options=_NO_RETRIES)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _search(
        self, search: str | None = None, category: str | None = None
    ) -> AsyncIterator[VoiceResponse]:
        """Yield the voices of all pages, newest first."""
        token: str | None = None
        for _ in range(_MAX_PAGES):
            async with translate_elevenlabs_errors(self._timeout):
                page = await self._client.voices.search(
                    next_page_token=token,
                    page_size=_PAGE_SIZE,
                    search=search,
                    category=category,
                    sort="created_at_unix",
                    sort_direction="desc",
                    include_total_count=False,
                    request_options=_NO_RETRIES,
                )
                found, token = list(page.voices), page.next_page_token if page.has_more else None
            for voice in found:
                yield voice
            if not token:
                return


def _validate_voice_id(voice_id: str) -> None:
    """Raise ProviderError (NOT_FOUND) for an id that would change the URL it is inserted into."""
    if not _VOICE_ID.match(voice_id):
        raise ProviderError(ErrorKind.NOT_FOUND, "ElevenLabs: no such voice")


def _file_name(original_name: str, data: bytes) -> str:
    path = PurePath(original_name)
    return f"{path.stem[:60]}{_EXTENSIONS.get(detect_media_type(data), path.suffix)}"
