"""OfflineTranscription: reads what our own offline voices wrote into a voice note; it recognises no speech.

No speech recogniser is small enough for the sandbox. A spoken prompt can be tried offline with a voice note
that the bot itself has spoken; any other recording is refused.
"""

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.audio.codec import read_spoken_text


class OfflineTranscription:
    """TranscriptionProvider for voice notes made by sandbox/providers/audio/speech.py."""

    name = "offline"
    offline = True

    async def transcribe(self, audio: bytes, file_name: str, language: str) -> str:
        """The text in the note's comments; BAD_INPUT for a recording without it."""
        if text := read_spoken_text(audio).strip():
            return text
        detail = "offline: only voice notes spoken by the offline voices can be read; set OPENAI_API_KEY to listen"
        raise ProviderError(ErrorKind.BAD_INPUT, detail)

    async def close(self) -> None:
        """Nothing is held open."""
