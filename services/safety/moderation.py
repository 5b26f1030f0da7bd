"""Words are looked at before a provider sees them: one step, the same for every service that takes words."""

from services.core.errors import Refused
from services.generation.context import Work


async def moderate(work: Work, text: str) -> None:
    """Raises Refused for words that go against the rules."""

    async def look() -> None:
        verdict = await work.providers.moderation.moderate(text)
        if not verdict.allowed:
            raise Refused("failure.moderation", detail=", ".join(verdict.categories))

    await work.steps.run("moderate", look)
