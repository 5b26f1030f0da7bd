"""ElevenLabs: speech in many languages, and voices cloned from a recording."""

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import PurePath

import httpx
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.request_options import RequestOptions
from elevenlabs.types import Voice as Answer

from providers.elevenlabs.errors import translate_elevenlabs_errors
from providers.media_type import detect_media_type
from providers.protocols import ErrorKind, ProviderError, Voice
from providers.tls import ssl_context

BASE_URL = "https://api.elevenlabs.io"
MODEL = "eleven_multilingual_v2"
OUTPUT_FORMAT = "opus_48000_64"
"""OGG/Opus, which is what Telegram shows as a voice note. ElevenLabs' free plan has no Opus."""
OGG_SIGNATURE = b"OggS"
MAX_SAMPLE_BYTES = 10 * 1024 * 1024
"""Bytes of one recording to clone from."""
NO_RETRIES = RequestOptions(max_retries=0)
"""The client repeats 429s and 5xx by itself otherwise: a voice might be paid and made twice."""
PAGE_SIZE = 100
MAX_PAGES = 20
_VOICE_ID = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_EXTENSIONS = {
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/mp4": ".m4a",
    "audio/flac": ".flac",
}


class ElevenLabsVoices:
    """VoiceProvider. `base_url` is the address without `/v1`; None is ElevenLabs itself.

    `timeout` is the time in seconds that one question may take, a whole speech or an upload included.
    All persons' cloned voices lie in one account: `voices` gives them all, `own`, and whoever shows them
    shows each person only theirs.
    """

    name = "elevenlabs"
    offline = False
    max_text_length = 10_000
    """Characters of one text, for MODEL."""

    def __init__(self, api_key: str, base_url: str | None, *, model: str = MODEL, timeout: float = 180.0) -> None:
        if not api_key:
            raise ValueError("ElevenLabs' API key is empty")
        transport = httpx.AsyncHTTPTransport(verify=ssl_context(), limits=httpx.Limits(max_connections=20))
        self._http = httpx.AsyncClient(transport=transport, timeout=timeout)
        home = (base_url or BASE_URL).rstrip("/").removesuffix("/v1")
        self._client = AsyncElevenLabs(api_key=api_key, base_url=home, timeout=timeout, httpx_client=self._http)
        self._model = model
        self._timeout = timeout

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        """OGG/Opus. The model tells the language from the text and takes no other word for it."""
        _validate_voice_id(voice_id)
        if not re.search(r"\w", text) or len(text) > self.max_text_length:
            raise ProviderError(
                ErrorKind.BAD_INPUT, f"ElevenLabs: nothing to say, or over {self.max_text_length} characters"
            )
        async with translate_elevenlabs_errors(self._timeout):
            parts = self._client.text_to_speech.convert(
                voice_id, text=text, model_id=self._model, output_format=OUTPUT_FORMAT, request_options=NO_RETRIES
            )
            note = b"".join([part async for part in parts])
        if not note.startswith(OGG_SIGNATURE):
            raise ProviderError(ErrorKind.FAILED, "ElevenLabs: speech that is not OGG/Opus")
        return note

    async def list_voices(self) -> list[Voice]:
        return [
            Voice(voice.voice_id, voice.name or voice.voice_id, cloned=voice.category == "cloned")
            async for voice in self._search()
        ]

    async def clone(self, name: str, samples: Mapping[str, bytes]) -> str:
        if not samples or any(len(data) > MAX_SAMPLE_BYTES for data in samples.values()):
            raise ProviderError(
                ErrorKind.BAD_INPUT, f"ElevenLabs: no recording, or one over {MAX_SAMPLE_BYTES} bytes"
            )
        files = [(_file_name(given, data), data, detect_media_type(data)) for given, data in samples.items()]
        async with translate_elevenlabs_errors(self._timeout):
            answer = await self._client.voices.ivc.create(name=name, files=list(files), request_options=NO_RETRIES)
            return str(answer.voice_id)

    async def find_voice(self, name: str) -> str | None:
        async for voice in self._search(search=name, category="cloned"):
            if voice.name == name:
                return voice.voice_id
        return None

    async def delete(self, voice_id: str) -> None:
        _validate_voice_id(voice_id)
        try:
            async with translate_elevenlabs_errors(self._timeout):
                await self._client.voices.delete(voice_id, request_options=NO_RETRIES)
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise

    async def check(self) -> None:
        """Raise ProviderError when ElevenLabs cannot be used now. For the health page."""
        async with translate_elevenlabs_errors(self._timeout):
            await self._client.voices.search(page_size=1, include_total_count=False, request_options=NO_RETRIES)

    async def close(self) -> None:
        await self._http.aclose()

    async def _search(self, search: str | None = None, category: str | None = None) -> AsyncIterator[Answer]:
        """Voices, newest first where the order is known."""
        token: str | None = None
        for _ in range(MAX_PAGES):
            async with translate_elevenlabs_errors(self._timeout):
                page = await self._client.voices.search(
                    next_page_token=token,
                    page_size=PAGE_SIZE,
                    search=search,
                    category=category,
                    sort="created_at_unix",
                    sort_direction="desc",
                    include_total_count=False,
                    request_options=NO_RETRIES,
                )
                found, token = list(page.voices), page.next_page_token if page.has_more else None
            for voice in found:
                yield voice
            if not token:
                return


def _validate_voice_id(voice_id: str) -> None:
    """An id becomes part of an address; what cannot be one is no voice of ours."""
    if not _VOICE_ID.match(voice_id):
        raise ProviderError(ErrorKind.NOT_FOUND, "ElevenLabs: no such voice")


def _file_name(original_name: str, data: bytes) -> str:
    path = PurePath(original_name)
    return f"{path.stem[:60]}{_EXTENSIONS.get(detect_media_type(data), path.suffix)}"
