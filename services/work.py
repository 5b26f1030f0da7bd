"""What a service is given to do its work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from providers.protocols import ModerationProvider, PredictionProvider
from services.steps import Steps
from storage.jobs import Job

ReportProgress = Callable[[int | None], Awaitable[None]]


@dataclass(frozen=True)
class Providers:
    """Who does the work; where there is no key, its offline stand-in."""

    images: PredictionProvider
    moderation: ModerationProvider

    async def close(self) -> None:
        await self.images.close()
        await self.moderation.close()


@dataclass(frozen=True)
class Work:
    """One run of one job: the order, the steps of its plan, and the providers."""

    job: Job
    steps: Steps
    providers: Providers
    report: ReportProgress
    """Tell the person how far the work is, in percent where the provider says so."""
