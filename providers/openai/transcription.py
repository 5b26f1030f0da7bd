"""OpenAI's transcription of recordings."""

from pathlib import PurePath

from providers.media_type import detect_media_type
from providers.openai.client import build_client
from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ProviderError

MODEL = "gpt-4o-mini-transcribe"
MAX_AUDIO_BYTES = 25 * 1024 * 1024
"""Bytes of one recording: https://platform.openai.com/docs/guides/speech-to-text"""
_EXTENSIONS = {
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
}
"""OpenAI tells a file by its name's ending, and knows none of Telegram's `.oga`."""


class OpenAITranscription:
    """TranscriptionProvider. `base_url` ends in `/v1`; None is OpenAI itself. `timeout` is in seconds."""

    name = "openai"
    offline = False

    def __init__(self, api_key: str, base_url: str | None, *, model: str = MODEL, timeout: float = 60.0) -> None:
        self._client = build_client(api_key, base_url, timeout)
        self._model = model

    async def transcribe(self, audio: bytes, file_name: str, language: str) -> str:
        """The words; BAD_INPUT where there are none.

        The model hears the language by itself: `language` is the one the person reads, often not the one
        they speak, and a wrong hint makes the model translate.
        """
        kind = detect_media_type(audio)
        if kind not in _EXTENSIONS or len(audio) > MAX_AUDIO_BYTES:
            raise ProviderError(ErrorKind.BAD_INPUT, f"OpenAI does not hear {len(audio)} bytes of {kind}")
        name = PurePath(file_name).stem[:60] + _EXTENSIONS[kind]
        async with translate_openai_errors():
            answer = await self._client.audio.transcriptions.create(
                model=self._model, file=(name, audio, kind), response_format="json"
            )
        if not (text := answer.text.strip()):
            raise ProviderError(ErrorKind.BAD_INPUT, "OpenAI: no words in the recording")
        return text

    async def close(self) -> None:
        await self._client.close()
