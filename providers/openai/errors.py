"""The one place where the OpenAI client's errors become ours; every OpenAI provider uses it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai

from providers.errors import error_from_response, sanitize
from providers.protocols import ErrorKind, ProviderError


@asynccontextmanager
async def translate_openai_errors() -> AsyncIterator[None]:
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
        return _error_from_status(error)
    if isinstance(error, openai.APIConnectionError | openai.APIResponseValidationError):
        return ProviderError(ErrorKind.OVERLOADED, f"OpenAI: {sanitize(str(error))}")
    return ProviderError(ErrorKind.FAILED, f"OpenAI: {type(error).__name__} {sanitize(str(error))}")


def _error_from_status(error: openai.APIStatusError) -> ProviderError:
    # The code says what the status does not: an empty purse is a 429, a refused prompt a 400.
    said = " ".join(str(part) for part in (error.code, error.message) if part)
    return error_from_response("OpenAI", error.status_code, said, error.response.headers)
