"""What the services ask of an AI provider, and the one error a provider may answer with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

PredictionKind = Literal["image", "video", "lip_sync", "training"]
PredictionStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class ErrorKind(StrEnum):
    """Why a provider could not do the work; services/core/errors.py says what follows from each."""

    BAD_INPUT = "bad_input"
    MODERATION = "moderation"
    QUOTA = "quota"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NOT_FOUND = "not_found"


class ProviderError(Exception):
    """A provider refused or failed. `detail` is for the log, never for the person."""

    def __init__(self, kind: ErrorKind, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after
        """Seconds to wait before asking again, where the provider said so."""


@dataclass(frozen=True)
class PredictionRequest:
    """One piece of work that takes the provider a while: an image, a video, a lip-sync.

    `seed` belongs to this request alone: it is how `find` tells it from others.
    """

    kind: PredictionKind
    model: str
    """The provider's own name: `owner/name`, or `owner/name:version`."""
    input: Mapping[str, object]
    """The model's input as its provider names it."""
    seed: int
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Inputs that are files; they travel as bytes, never as Telegram's URLs."""


@dataclass(frozen=True)
class Prediction:
    """Where a piece of work stands at the provider."""

    id: str
    status: PredictionStatus
    percent: int | None = None
    outputs: tuple[str, ...] = ()
    """References that `fetch` of the same provider turns into bytes."""
    error: ErrorKind | None = None
    error_detail: str = ""


class PredictionProvider(Protocol):
    """A provider of long work. Every method raises only ProviderError."""

    name: str
    offline: bool
    """True when the result is a stand-in made on this machine, which each result then says."""
    uses_webhooks: bool
    """True when the provider tells us by webhook that work has ended, so that we need not ask often."""

    async def start(self, request: PredictionRequest) -> str:
        """Ask for the work once and return the prediction's id. Never retries by itself."""
        ...

    async def find(self, request: PredictionRequest, since: datetime) -> str | None:
        """The id of a prediction this very request started after `since`, or None.

        Asked when a process died, or an answer was lost, between asking and writing down the id.
        """
        ...

    async def get(self, prediction_id: str) -> Prediction: ...

    async def fetch(self, output: str) -> bytes: ...

    async def cancel(self, prediction_id: str) -> None:
        """Stop the work; a prediction that already ended is left as it is."""
        ...

    async def check(self) -> None:
        """Raise ProviderError when the provider cannot be used now. For the health page."""
        ...

    async def close(self) -> None: ...


class TrainingProvider(PredictionProvider, Protocol):
    """A PredictionProvider of kind `training`. Its one output is the name of what was trained, not a file."""

    async def delete_model(self, model: str) -> None:
        """Delete a trained model by that name; one that is gone already is fine."""
        ...


@dataclass(frozen=True)
class ModerationResult:
    """What moderation says of a text."""

    allowed: bool
    categories: tuple[str, ...] = ()


class ModerationProvider(Protocol):
    name: str

    async def moderate(self, text: str) -> ModerationResult: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Voice:
    """A voice that can be spoken with. `own` is False for a provider's stock voices."""

    id: str
    name: str
    cloned: bool = False


class SpeechProvider(Protocol):
    """Speaks text. Every method of this and the protocols below raises only ProviderError."""

    name: str
    offline: bool

    async def speak(self, text: str, voice_id: str, language: str) -> bytes:
        """OGG/Opus, as Telegram's voice notes are. NOT_FOUND where the voice is gone."""
        ...

    async def list_voices(self) -> list[Voice]: ...

    async def close(self) -> None: ...


class VoiceProvider(SpeechProvider, Protocol):
    """A SpeechProvider that makes voices too."""

    async def clone(self, name: str, samples: Mapping[str, bytes]) -> str:
        """Make a voice out of recordings, by file name, and return its id. Never retries by itself."""
        ...

    async def find_voice(self, name: str) -> str | None:
        """The id of the own voice with exactly this name: how a clone whose answer was lost is found."""
        ...

    async def delete(self, voice_id: str) -> None:
        """Forget a voice; one that is gone already is fine."""
        ...


class VisionProvider(Protocol):
    name: str
    offline: bool

    async def describe(self, image: bytes) -> str:
        """A prompt, in English, that would make a picture like this one."""
        ...

    async def close(self) -> None: ...


class TextProvider(Protocol):
    name: str
    offline: bool

    async def improve(self, prompt: str, language: str) -> str:
        """The prompt, richer, in its own language; at most 1,000 characters."""
        ...

    async def answer(self, instructions: str, question: str) -> str:
        """What a model answers to a person's words, under instructions of ours. NOT_FOUND where there is none."""
        ...

    async def close(self) -> None: ...


class TranscriptionProvider(Protocol):
    name: str
    offline: bool

    async def transcribe(self, audio: bytes, file_name: str, language: str) -> str:
        """The words of a recording."""
        ...

    async def close(self) -> None: ...
