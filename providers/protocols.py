"""The protocols that AI providers implement, and the one error they raise.

Every method of every protocol raises ProviderError and nothing else. Methods never retry: only the caller knows
whether the work may be done twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

PredictionKind = Literal["image", "video", "lip_sync", "training"]
PredictionStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class ErrorKind(StrEnum):
    """Why a provider could not do the work. services/core/errors.py maps each kind to a failure."""

    BAD_INPUT = "bad_input"
    MODERATION = "moderation"
    QUOTA = "quota"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NOT_FOUND = "not_found"


class ProviderError(Exception):
    """A provider refused or failed.

    Args:
        kind: The kind of error.
        detail: What happened, for the log and never for the user. It contains no key and no full URL.
        retry_after: Seconds to wait before the next attempt, if the provider gave a number.
    """

    def __init__(self, kind: ErrorKind, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after


@dataclass(frozen=True)
class PredictionRequest:
    """A request for long-running work: an image, a video, a lip-sync or a training.

    Attributes:
        kind: The kind of work.
        model: The provider's name for the model: `owner/name`, or `owner/name:version`.
        input: The model's inputs, under the provider's names.
        seed: A number unique to this request. `find` uses it to recognise the request.
        files: File inputs, as bytes. Telegram's URLs are never passed on because they contain the bot's token.
    """

    kind: PredictionKind
    model: str
    input: Mapping[str, object]
    seed: int
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """The state of a request at its provider.

    Attributes:
        id: The provider's id.
        status: The current status.
        percent: The progress, if the provider reports it.
        outputs: References to the outputs; the same provider's `fetch` downloads them.
        error: Why it failed, if it did.
        error_detail: The provider's error message, for the log.
    """

    id: str
    status: PredictionStatus
    percent: int | None = None
    outputs: tuple[str, ...] = ()
    error: ErrorKind | None = None
    error_detail: str = ""


class PredictionProvider(Protocol):
    """A provider of long-running work.

    Attributes:
        name: The provider's name in logs and metrics.
        offline: Whether this is an offline replacement. Its results are labelled as such.
        uses_webhooks: Whether the provider sends a webhook when work has ended, so that polls can be rare.
    """

    name: str
    offline: bool
    uses_webhooks: bool

    async def start(self, request: PredictionRequest) -> str:
        """Start the work and return the prediction's id.

        Raises:
            ProviderError: Nothing was started. With TIMED_OUT and OVERLOADED the work may have started and only the
                response was lost; `find` can tell.
        """
        ...

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """Find a prediction whose id was lost because the process died or the response did not arrive.

        Args:
            request: The request passed to `start`.
            since: A time just before `start` was called.

        Returns:
            The prediction's id, or None if nothing was started.
        """
        ...

    async def get(self, prediction_id: str) -> Prediction:
        """Return the prediction's current state."""
        ...

    async def fetch(self, output: str) -> bytes:
        """Download one of a prediction's outputs."""
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Cancel the work. Does nothing if the prediction has ended."""
        ...

    async def check(self) -> None:
        """Raise ProviderError if the provider cannot be used now. For the health page."""
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


class TrainingProvider(PredictionProvider, Protocol):
    """A PredictionProvider for trainings. The single output is the name of the trained model, not a file."""

    async def delete_model(self, model: str) -> None:
        """Delete a trained model by that name. Not an error if it no longer exists."""
        ...


@dataclass(frozen=True)
class ModerationResult:
    """The outcome of moderating a text.

    Attributes:
        allowed: Whether the text may be used.
        categories: The categories it was flagged for, under the provider's names.
    """

    allowed: bool
    categories: tuple[str, ...] = ()


class ModerationProvider(Protocol):
    """Moderates text."""

    name: str

    async def moderate(self, text: str) -> ModerationResult:
        """Check whether a user's text is allowed."""
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


@dataclass(frozen=True)
class Voice:
    """A voice that can speak.

    Attributes:
        id: The provider's id.
        name: The name shown to users.
        cloned: True for a voice cloned from a recording, False for one of the provider's stock voices.
    """

    id: str
    name: str
    cloned: bool = False


class SpeechProvider(Protocol):
    """Turns text into speech."""

    name: str
    offline: bool

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        """Speak a text.

        Args:
            text: The text to speak.
            voice_id: The id of one of the provider's voices.
            language: The user's language, for providers that do not detect the language of the text.

        Returns:
            OGG/Opus, the format of Telegram's voice messages: https://core.telegram.org/bots/api#sendvoice

        Raises:
            ProviderError: With NOT_FOUND if the voice no longer exists.
        """
        ...

    async def list_voices(self) -> list[Voice]:
        """List all voices of the account: stock voices and the cloned voices of all users."""
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


class VoiceProvider(SpeechProvider, Protocol):
    """A SpeechProvider that also clones voices."""

    async def clone(self, name: str, samples: Mapping[str, bytes]) -> str:
        """Clone a voice from recordings.

        Args:
            name: A unique name, by which `find_voice` recognises the voice.
            samples: The recordings, by file name.

        Returns:
            The voice's id.
        """
        ...

    async def find_voice(self, name: str) -> str | None:
        """Return the id of the cloned voice with exactly this name, after the response to `clone` was lost."""
        ...

    async def delete(self, voice_id: str) -> None:
        """Delete a voice. Not an error if it no longer exists."""
        ...


class VisionProvider(Protocol):
    """Describes images."""

    name: str
    offline: bool

    async def describe(self, image: bytes) -> str:
        """Write an English prompt that would produce an image like this one."""
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


class TextProvider(Protocol):
    """Writes text."""

    name: str
    offline: bool

    async def improve(self, prompt: str, language: str) -> str:
        """Add detail to a prompt.

        Args:
            prompt: The user's prompt.
            language: The user's language, used if the language of the prompt is unclear.

        Returns:
            The improved prompt in the language of the original, at most 1,000 characters.
        """
        ...

    async def answer(self, instructions: str, question: str) -> str:
        """Answer a user's question.

        Args:
            instructions: The bot's instructions on how to answer.
            question: The user's question.

        Raises:
            ProviderError: With NOT_FOUND if the provider has no model for answers.
        """
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


class TranscriptionProvider(Protocol):
    """Transcribes recordings."""

    name: str
    offline: bool

    async def transcribe(self, audio: bytes, file_name: str, language: str) -> str:
        """Transcribe the speech in a recording.

        Args:
            audio: The recording.
            file_name: The recording's file name.
            language: The user's language; the recording may be in another.

        Raises:
            ProviderError: With BAD_INPUT if the recording contains no speech.
        """
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...
