"""OpenAI's moderation of prompts."""

from providers.openai.client import build_client
from providers.openai.errors import translate_openai_errors
from providers.protocols import ErrorKind, ModerationResult, ProviderError

MODERATION_MODEL = "omni-moderation-latest"


class OpenAIModeration:
    """ModerationProvider. `base_url` ends in `/v1`; None is OpenAI itself. `timeout` is in seconds."""

    name = "openai"

    def __init__(self, api_key: str, base_url: str | None, *, timeout: float = 10.0) -> None:
        self._client = build_client(api_key, base_url, timeout)

    async def moderate(self, text: str) -> ModerationResult:
        """Whether a text may be worked on; `categories` are OpenAI's names, such as `self-harm/intent`."""
        async with translate_openai_errors():
            answer = await self._client.moderations.create(model=MODERATION_MODEL, input=text)
        if not answer.results:
            raise ProviderError(ErrorKind.OVERLOADED, "OpenAI: a moderation without a result")
        result = answer.results[0]
        flags = result.categories.model_dump(by_alias=True)
        return ModerationResult(
            allowed=not result.flagged, categories=tuple(name for name, flag in flags.items() if flag)
        )

    async def close(self) -> None:
        await self._client.close()
