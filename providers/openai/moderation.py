"""OpenAI's moderation of texts: https://platform.openai.com/docs/guides/moderation"""

from providers.openai.client import build_client
from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ModerationResult, ProviderError

_MODERATION_MODEL = "omni-moderation-latest"


class OpenAIModeration:
    """ModerationProvider over OpenAI's moderation model, which is free of charge.

    Args:
        api_key: The account's key.
        base_url: The API's address, which ends in `/v1`; None for OpenAI's own.
        timeout: Seconds for one request.
    """

    name = "openai"

    def __init__(self, api_key: str, base_url: str | None, *, timeout: float = 10.0) -> None:
        self._client = build_client(api_key, base_url, timeout)

    async def moderate(self, text: str) -> ModerationResult:
        """Check a text. The categories are OpenAI's, such as `self-harm/intent`."""
        async with translate_openai_errors():
            response = await self._client.moderations.create(model=_MODERATION_MODEL, input=text)
        if not response.results:
            raise ProviderError(ErrorKind.OVERLOADED, "OpenAI: response has no results")
        result = response.results[0]
        flags = result.categories.model_dump(by_alias=True)
        return ModerationResult(
            allowed=not result.flagged, categories=tuple(name for name, flag in flags.items() if flag)
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
