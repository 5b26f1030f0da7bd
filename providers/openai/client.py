"""The official OpenAI client, as all providers of this package use it."""

from openai import AsyncOpenAI

BASE_URL = "https://api.openai.com/v1"


def build_client(api_key: str, base_url: str | None, timeout: float) -> AsyncOpenAI:
    """A client that does not retry, and that takes nothing from the environment.

    Args:
        api_key: The account's key.
        base_url: The API's address, which ends in `/v1`; None for OpenAI's own.
        timeout: Seconds for one request.

    Raises:
        ValueError: The key is empty.
    """
    if not api_key:
        raise ValueError("OpenAI's API key is empty")
    return AsyncOpenAI(api_key=api_key, base_url=base_url or BASE_URL, timeout=timeout, max_retries=0)
