"""What all providers of this package share: the official client, set up the same way."""

from typing import ClassVar

from openai import AsyncOpenAI

BASE_URL = "https://api.openai.com/v1"


class OpenAIProvider:
    """A provider over OpenAI's API. The client does not retry and takes nothing from the environment.

    Args:
        api_key: The account's key.
        base_url: The API's address, which ends in `/v1`; None for OpenAI's own.
        model: The model; None for the provider's default.
        timeout: Seconds for one request; None for the provider's default.

    Raises:
        ValueError: The key is empty.
    """

    name = "openai"
    offline = False
    default_model: ClassVar[str]
    default_timeout: ClassVar[float] = 60.0

    def __init__(
        self, api_key: str, base_url: str | None, *, model: str | None = None, timeout: float | None = None
    ) -> None:
        if not api_key:
            raise ValueError("OpenAI's API key is empty")
        self._model = model or self.default_model
        self._client = AsyncOpenAI(
            api_key=api_key, base_url=base_url or BASE_URL, timeout=timeout or self.default_timeout, max_retries=0
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
