"""OpenAI's speech, with its fixed voices."""

import re

from openai import HttpxBinaryResponseContent

from providers.media_type import detect_media_type
from providers.openai.client import OpenAIProvider
from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ProviderError, Voice

MODEL = "gpt-4o-mini-tts"
VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable",
    "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip
"""Each voice speaks every language: https://platform.openai.com/docs/guides/text-to-speech"""


class OpenAISpeech(OpenAIProvider):
    """SpeechProvider over OpenAI's API.

    Attributes:
        max_text_length: The longest text, in characters.
    """

    default_model = MODEL
    default_timeout = 120.0
    max_text_length = 4096

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        """Speak a text in its own language. Raises ProviderError, with NOT_FOUND for an unknown voice."""
        if voice_id not in VOICES:
            raise ProviderError(ErrorKind.NOT_FOUND, "OpenAI: no such voice")
        if not re.search(r"\w", text) or len(text) > self.max_text_length:
            raise ProviderError(
                ErrorKind.BAD_INPUT, f"OpenAI: text is empty or longer than {self.max_text_length} characters"
            )
        response = await self._synthesize(text, voice_id)
        if detect_media_type(response.content) != "audio/ogg":
            raise ProviderError(ErrorKind.FAILED, "OpenAI: speech is not OGG/Opus")
        return response.content

    async def _synthesize(self, text: str, voice_id: str) -> HttpxBinaryResponseContent:
        try:
            async with translate_openai_errors():
                return await self._client.audio.speech.create(
                    model=self._model, voice=voice_id, input=text, response_format="opus"
                )
        except ProviderError as error:
            if error.kind is not ErrorKind.NOT_FOUND:
                raise
            # The model does not exist. NOT_FOUND would mean that the voice does not.
            raise ProviderError(ErrorKind.FAILED, error.detail) from None

    async def list_voices(self) -> list[Voice]:
        """OpenAI's voices, which its API does not list."""
        return [Voice(voice_id, voice_id.capitalize()) for voice_id in VOICES]
