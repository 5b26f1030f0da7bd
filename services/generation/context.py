"""What a service is given to do its work with."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

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
from storage.jobs.jobs import Job
from storage.pool import Executor

ReportProgress = Callable[[int | None], Awaitable[None]]
Download = Callable[[str], Awaitable[bytes]]


LanguageProviders = tuple[VisionProvider, TextProvider, TranscriptionProvider, ModerationProvider]
"""Those who work with words, in the order in which Providers has them."""


@dataclass(frozen=True)
class Providers:
    """Who does the work; where there is no key, its offline stand-in."""

    media: PredictionProvider
    """Images, videos, lip-sync."""
    trainings: TrainingProvider
    voices: VoiceProvider
    """Makes voices, and speaks with them and with stock ones."""
    speech: Mapping[str, SpeechProvider]
    """All who speak, by name; `voices` is one of them."""
    vision: VisionProvider
    text: TextProvider
    transcription: TranscriptionProvider
    moderation: ModerationProvider

    async def close(self) -> None:
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
    """Where to look for what only this person can choose."""

    db: Executor
    providers: Providers
    user_id: int


@dataclass(frozen=True)
class JobContext:
    """One run of one job: the order, the steps of its plan, and the providers."""

    job: Job
    steps: Steps
    providers: Providers
    db: Executor
    download: Download
    """The bytes of a file that the person sent, by Telegram's file id."""
    report_progress: ReportProgress
    """Tell the person how far the work is, in percent where the provider says so."""
