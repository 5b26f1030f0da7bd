"""What a service works with: the providers, the user's catalogue, and the job that it runs for."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from providers.protocols import (
    ModerationProvider,
    PredictionProvider,
    SpeechProvider,
    TextProvider,
    TrainingProvider,
    TranscriptionProvider,
    VisionProvider,
    VoiceProvider,
)
from services.durable.steps import Steps
from services.generation.voices import StockVoices
from storage.jobs.jobs import Job
from storage.pool import Executor

ReportProgress = Callable[[int | None], Awaitable[None]]
"""Shows the user how far the work is, in percent; None where the provider does not say."""
Download = Callable[[str], Awaitable[bytes]]
"""Returns the bytes of a file that the user sent, by Telegram's file id."""

LanguageProviders = tuple[VisionProvider, TextProvider, TranscriptionProvider, ModerationProvider]
"""The providers that work with text, in the order of the fields of Providers."""


@dataclass(frozen=True)
class Providers:
    """The providers of this process. Where a provider has no key in the settings, its offline stand-in is used.

    Attributes:
        media: Makes images, videos and lip-syncs.
        trainings: Trains models on a user's photos.
        voices: Clones voices, and speaks with them and with its stock voices.
        speech: All providers that speak, by name; `voices` is one of them.
        vision: Describes images.
        text: Improves prompts and answers questions.
        transcription: Transcribes recordings.
        moderation: Says whether a text is allowed.
        stock_voices: The stock voices of `speech`, cached for ten minutes.
    """

    media: PredictionProvider
    trainings: TrainingProvider
    voices: VoiceProvider
    speech: Mapping[str, SpeechProvider]
    vision: VisionProvider
    text: TextProvider
    transcription: TranscriptionProvider
    moderation: ModerationProvider
    stock_voices: StockVoices = field(default_factory=StockVoices)

    async def close(self) -> None:
        """Close every provider's connections."""
        for predictions in (self.media, self.trainings):
            await predictions.close()
        for speaker in self.speech.values():
            await speaker.close()
        await self.vision.close()
        await self.text.close()
        await self.transcription.close()
        await self.moderation.close()


@dataclass(frozen=True)
class UserCatalogue:
    """Where a service looks for the options that only one user has.

    Attributes:
        db: Where the user's models and voices are.
        providers: Where stock voices are.
        user_id: The user.
    """

    db: Executor
    providers: Providers
    user_id: int


@dataclass(frozen=True)
class JobContext:
    """One run of one job. A job may have several: one for each step on Plan A, and one after each takeover.

    Attributes:
        job: The order.
        steps: The steps of the job's plan. All work goes through them.
        providers: The providers.
        db: The database, for what a step stores.
        download: Downloads a file that the user sent.
        report_progress: Shows the user how far the work is.
    """

    job: Job
    steps: Steps
    providers: Providers
    db: Executor
    download: Download
    report_progress: ReportProgress
