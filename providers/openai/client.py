"""The official client of OpenAI, as all of its providers use it."""

from openai import AsyncOpenAI

BASE_URL = "https://api.openai.com/v1"


def build_client(api_key: str, base_url: str | None, timeout: float) -> AsyncOpenAI:
    """The official client, asked once a question; it never looks into the environment for its address."""
    if not api_key:
        raise ValueError("OpenAI's API key is empty")
    return AsyncOpenAI(api_key=api_key, base_url=base_url or BASE_URL, timeout=timeout, max_retries=0)
