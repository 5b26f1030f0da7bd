"""What the services ask of an AI provider, and the one error that a provider raises.

Every method of every protocol raises ProviderError and nothing else. Methods do not retry by themselves: the caller
knows whether the work may be done twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

PredictionKind = Literal["image", "video", "lip_sync", "training"]
PredictionStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class ErrorKind(StrEnum):
    """Why a provider could not do the work. services/core/errors.py says what follows from each."""

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
        kind: What the error means.
        detail: What happened, for the log and never for the user. It holds no key and no full URL.
        retry_after: Seconds to wait before the next attempt, where the provider gave them.
    """

    def __init__(self, kind: ErrorKind, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after


@dataclass(frozen=True)
class PredictionRequest:
    """Work that takes the provider a while: an image, a video, a lip-sync, a training.

    Attributes:
        kind: What is made.
        model: The provider's own name of the model: `owner/name`, or `owner/name:version`.
        input: The model's input as its provider names it.
        seed: A number that no other request has: `find` recognises the request by it.
        files: Inputs that are files. They travel as bytes, never as Telegram's URLs, which hold the bot's token.
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
        status: The state.
        percent: How far it is, where the provider says so.
        outputs: References, which `fetch` of the same provider turns into bytes.
        error: Why it failed.
        error_detail: The provider's message about that, for the log.
    """

    id: str
    status: PredictionStatus
    percent: int | None = None
    outputs: tuple[str, ...] = ()
    error: ErrorKind | None = None
    error_detail: str = ""


class PredictionProvider(Protocol):
    """A provider of work that takes a while.

    Attributes:
        name: The provider's name in logs and metrics.
        offline: Whether results are made by a stand-in on this machine. Each result then says so.
        uses_webhooks: Whether the provider reports by webhook that work has ended, so that polls can be rare.
    """

    name: str
    offline: bool
    uses_webhooks: bool

    async def start(self, request: PredictionRequest) -> str:
        """Start the work and return the prediction's id.

        Raises:
            ProviderError: Nothing was started; or, with TIMED_OUT and OVERLOADED, only the answer may have been
                lost, which `find` can tell.
        """
        ...

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """Find a prediction that was started but whose id was lost with a process or an answer.

        Args:
            request: The request that `start` was given.
            since: The time before that start.

        Returns:
            The prediction's id, or None.
        """
        ...

    async def get(self, prediction_id: str) -> Prediction:
        """The prediction as it is now."""
        ...

    async def fetch(self, output: str) -> bytes:
        """The bytes of one of a prediction's outputs."""
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Cancel the work; a prediction that has ended is left as it is."""
        ...

    async def check(self) -> None:
        """Raise ProviderError where the provider cannot be used now. For the health page."""
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


class TrainingProvider(PredictionProvider, Protocol):
    """A PredictionProvider of the kind `training`. Its one output is the name of the trained model, not a file."""

    async def delete_model(self, model: str) -> None:
        """Delete a trained model by that name; one that does not exist any more is no error."""
        ...


@dataclass(frozen=True)
class ModerationResult:
    """What moderation says about a text.

    Attributes:
        allowed: Whether it may be used.
        categories: What it was flagged for, by the provider's names.
    """

    allowed: bool
    categories: tuple[str, ...] = ()


class ModerationProvider(Protocol):
    """Says whether a text is allowed."""

    name: str

    async def moderate(self, text: str) -> ModerationResult:
        """Check a text that a user wrote."""
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


@dataclass(frozen=True)
class Voice:
    """A voice that can speak.

    Attributes:
        id: The provider's id.
        name: What users see.
        cloned: True for a voice made from a recording, False for a stock voice of the provider's.
    """

    id: str
    name: str
    cloned: bool = False


class SpeechProvider(Protocol):
    """Speaks text."""

    name: str
    offline: bool

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        """Speak a text.

        Args:
            text: What to say.
            voice_id: One of the provider's voices.
            language: The user's language, for providers that do not detect the text's own.

        Returns:
            OGG/Opus, the format of Telegram's voice messages: https://core.telegram.org/bots/api#sendvoice

        Raises:
            ProviderError: With NOT_FOUND where the voice does not exist any more.
        """
        ...

    async def list_voices(self) -> list[Voice]:
        """All voices of the account: stock voices, and the cloned voices of all users."""
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...


class VoiceProvider(SpeechProvider, Protocol):
    """A SpeechProvider that also clones voices."""

    async def clone(self, name: str, samples: Mapping[str, bytes]) -> str:
        """Make a voice from recordings.

        Args:
            name: A name that no other voice has: `find_voice` recognises the voice by it.
            samples: The recordings, by file name.

        Returns:
            The voice's id.
        """
        ...

    async def find_voice(self, name: str) -> str | None:
        """The id of the cloned voice with exactly this name, for a clone whose answer was lost."""
        ...

    async def delete(self, voice_id: str) -> None:
        """Delete a voice; one that does not exist any more is no error."""
        ...


class VisionProvider(Protocol):
    """Describes images."""

    name: str
    offline: bool

    async def describe(self, image: bytes) -> str:
        """A prompt, in English, that would make an image like this one."""
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
            prompt: What the user wrote.
            language: The user's language, where that of the prompt is unclear.

        Returns:
            The improved prompt in the language of the prompt, at most 1,000 characters.
        """
        ...

    async def answer(self, instructions: str, question: str) -> str:
        """Answer a user's question.

        Args:
            instructions: Ours, which say how to answer.
            question: The user's.

        Raises:
            ProviderError: With NOT_FOUND where the provider has no model that answers.
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
        """The text that is spoken in a recording.

        Args:
            audio: The recording.
            file_name: Its name.
            language: The user's language, which need not be the one that they speak.

        Raises:
            ProviderError: With BAD_INPUT where nothing is spoken.
        """
        ...

    async def close(self) -> None:
        """Close the provider's connections."""
        ...
