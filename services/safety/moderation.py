"""Words are looked at before a provider sees them: one step, the same for every service that takes words."""

from services.core.errors import InvalidRequest
from services.generation.context import JobContext


async def moderate(context: JobContext, text: str) -> None:
    """Raises Refused for words that go against the rules."""

    async def check_text() -> None:
        verdict = await context.providers.moderation.moderate(text)
        if not verdict.allowed:
            raise InvalidRequest("failure.moderation", detail=", ".join(verdict.categories))

    await context.steps.run("moderate", check_text)
