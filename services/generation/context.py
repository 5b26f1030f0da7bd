"""The objects passed to a service: the providers, the user's catalogue and the context of the job."""

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
"""Shows the user the progress in percent; None if the provider does not report it."""
Download = Callable[[str], Awaitable[bytes]]
"""Downloads a file that the user sent, by its Telegram file id."""

LanguageProviders = tuple[VisionProvider, TextProvider, TranscriptionProvider, ModerationProvider]
"""The providers that work with text, in the order of the fields of Providers."""


@dataclass(frozen=True)
class Providers:
    """The providers of this process. A provider without a key in the settings has an offline replacement.

    Attributes:
        media: Makes images, videos and lip-syncs.
        trainings: Trains models on a user's photos.
        voices: Clones voices, and speaks with cloned and stock voices.
        speech: All speech providers by name, including `voices`.
        vision: Describes images.
        text: Improves prompts and answers questions.
        transcription: Transcribes recordings.
        moderation: Moderates text.
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
    """The sources of the user options.

    Attributes:
        db: The database, with the user's models and voices.
        providers: The providers, for the stock voices.
        user_id: The user.
    """

    db: Executor
    providers: Providers
    user_id: int


@dataclass(frozen=True)
class JobContext:
    """The context of one run of a job. A job has several runs: one per step on Plan A, and one after each takeover.

    Attributes:
        job: The job.
        steps: The steps of the job's plan. All work must go through them.
        providers: The providers.
        db: The database, for steps that store something.
        download: Downloads a file that the user sent.
        report_progress: Shows the user the progress.
    """

    job: Job
    steps: Steps
    providers: Providers
    db: Executor
    download: Download
    report_progress: ReportProgress
