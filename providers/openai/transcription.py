"""OpenAI's transcription of recordings."""

from pathlib import PurePath

from providers.media_type import detect_media_type
from providers.openai.client import OpenAIProvider
from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ProviderError

MODEL = "gpt-4o-mini-transcribe"
MAX_AUDIO_BYTES = 25 * 1024 * 1024
"""The largest recording: https://platform.openai.com/docs/guides/speech-to-text"""
_EXTENSIONS = {
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
}
"""OpenAI recognises a file by the extension of its name, and does not know Telegram's `.oga`."""


class OpenAITranscription(OpenAIProvider):
    """TranscriptionProvider over OpenAI's API."""

    default_model = MODEL

    async def transcribe(self, audio: bytes, file_name: str, language: str) -> str:
        """Transcribe a recording.

        `language` is not sent: it is the language that the user reads, and a hint that differs from the language that
        they speak makes the model translate.

        Raises:
            ProviderError: With BAD_INPUT where nothing is spoken, and for formats that OpenAI does not take.
        """
        kind = detect_media_type(audio)
        if kind not in _EXTENSIONS or len(audio) > MAX_AUDIO_BYTES:
            raise ProviderError(ErrorKind.BAD_INPUT, f"OpenAI does not accept {len(audio)} bytes of {kind}")
        name = PurePath(file_name).stem[:60] + _EXTENSIONS[kind]
        async with translate_openai_errors():
            response = await self._client.audio.transcriptions.create(
                model=self._model, file=(name, audio, kind), response_format="json"
            )
        if not (text := response.text.strip()):
            raise ProviderError(ErrorKind.BAD_INPUT, "OpenAI: no speech in the recording")
        return text
