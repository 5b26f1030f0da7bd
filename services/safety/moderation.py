"""Moderation of prompts before they are sent to a provider. All services that take text use the same step."""

from providers.protocols import ModerationProvider
from services.core.errors import InvalidRequest
from services.durable.steps import Steps


async def moderate(steps: Steps, provider: ModerationProvider, text: str) -> None:
    """Moderate a text as a step of a job.

    Args:
        steps: The job's steps.
        provider: The moderation provider.
        text: The user's text.

    Raises:
        InvalidRequest: The text is not allowed.
    """

    async def check() -> None:
        verdict = await provider.moderate(text)
        if not verdict.allowed:
            raise InvalidRequest("failure.moderation", detail=", ".join(verdict.categories))

    await steps.run("moderate", check)
