"""The OpenAI client's errors as ours, for all providers of this package."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai

from providers.errors import error_from_response
from providers.protocols import ErrorKind, ProviderError
from providers.redaction import redact_line


@asynccontextmanager
async def translate_openai_errors() -> AsyncIterator[None]:
    """Raise ProviderError for errors of the client inside the block, without their chain, which holds the key."""
    try:
        yield
    except openai.OpenAIError as error:
        raise _to_provider_error(error) from None


def _to_provider_error(error: openai.OpenAIError) -> ProviderError:
    if isinstance(error, openai.APITimeoutError):
        return ProviderError(ErrorKind.TIMED_OUT, "OpenAI: no response in time")
    if isinstance(error, openai.APIStatusError):
        return _error_from_status(error)
    if isinstance(error, openai.APIConnectionError | openai.APIResponseValidationError):
        return ProviderError(ErrorKind.OVERLOADED, f"OpenAI: {redact_line(str(error))}")
    return ProviderError(ErrorKind.FAILED, f"OpenAI: {type(error).__name__} {redact_line(str(error))}")


def _error_from_status(error: openai.APIStatusError) -> ProviderError:
    # The code distinguishes errors that share a status: 429 is also no credit, 400 also a refused prompt.
    message = " ".join(str(part) for part in (error.code, error.message) if part)
    return error_from_response("OpenAI", error.status_code, message, error.response.headers)
