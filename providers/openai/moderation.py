"""OpenAI's moderation of texts: https://platform.openai.com/docs/guides/moderation"""

from providers.openai.client import OpenAIProvider
from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ModerationResult, ProviderError

_MODEL = "omni-moderation-latest"


class OpenAIModeration(OpenAIProvider):
    """ModerationProvider over OpenAI's moderation model, which is free of charge."""

    default_model = _MODEL
    default_timeout = 10.0

    async def moderate(self, text: str) -> ModerationResult:
        """Check a text. The categories are OpenAI's, such as `self-harm/intent`."""
        async with translate_openai_errors():
            response = await self._client.moderations.create(model=self._model, input=text)
        if not response.results:
            raise ProviderError(ErrorKind.OVERLOADED, "OpenAI: response has no results")
        result = response.results[0]
        flags = result.categories.model_dump(by_alias=True)
        return ModerationResult(
            allowed=not result.flagged, categories=tuple(name for name, flag in flags.items() if flag)
        )
