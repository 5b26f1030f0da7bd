"""The one place where the OpenAI client's errors become ours; every OpenAI provider uses it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai

from providers.errors import clean, error_of_answer
from providers.protocols import ErrorKind, ProviderError


@asynccontextmanager
async def openai_errors() -> AsyncIterator[None]:
    """Raise ProviderError for whatever the client raises inside, without its chain (it has the key)."""
    try:
        yield
    except openai.OpenAIError as error:
        raise provider_error(error) from None


def provider_error(error: openai.OpenAIError) -> ProviderError:
    """What an error of the client means."""
    if isinstance(error, openai.APITimeoutError):
        return ProviderError(ErrorKind.TIMED_OUT, "OpenAI: no answer in time")
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    if isinstance(error, openai.APIConnectionError | openai.APIResponseValidationError):
        return ProviderError(ErrorKind.OVERLOADED, f"OpenAI: {clean(str(error))}")
    return ProviderError(ErrorKind.FAILED, f"OpenAI: {type(error).__name__} {clean(str(error))}")


def _of_status(error: openai.APIStatusError) -> ProviderError:
    # The code says what the status does not: an empty purse is a 429, a refused prompt a 400.
    said = " ".join(str(part) for part in (error.code, error.message) if part)
    return error_of_answer("OpenAI", error.status_code, said, error.response.headers)
