"""Translates the ElevenLabs client's errors into ProviderError."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pydantic
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.parse_error import ParsingError

from providers.errors import classify_status, parse_retry_after
from providers.protocols import ErrorKind, ProviderError
from providers.redaction import redact_line

_BY_CODE = {
    "quota_exceeded": ErrorKind.QUOTA,
    "insufficient_credits": ErrorKind.QUOTA,
    "payment_required": ErrorKind.QUOTA,
    "subscription_required": ErrorKind.QUOTA,
    "voice_limit_reached": ErrorKind.QUOTA,
    "can_not_use_instant_voice_cloning": ErrorKind.QUOTA,
    "too_many_concurrent_requests": ErrorKind.RATE_LIMITED,
    "concurrent_limit_exceeded": ErrorKind.RATE_LIMITED,
    "system_busy": ErrorKind.OVERLOADED,
    "voice_not_found": ErrorKind.NOT_FOUND,
    "voice_does_not_exist": ErrorKind.NOT_FOUND,
    "model_not_found": ErrorKind.FAILED,
    "detected_unusual_activity": ErrorKind.FAILED,
    "invalid_api_key": ErrorKind.FAILED,
    "missing_permissions": ErrorKind.FAILED,
}
"""By the code in `detail.status`. It is more precise than the HTTP status: 401 may also mean no credit, 429 also a
busy system.

https://help.elevenlabs.io/hc/en-us/articles/19572237925521
"""


@asynccontextmanager
async def translate_elevenlabs_errors(seconds: float) -> AsyncIterator[None]:
    """Turn errors in the block into ProviderError, without the exception chain, which contains the key.

    Args:
        seconds: The time limit for the block.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, httpx.TimeoutException):
        raise ProviderError(ErrorKind.TIMED_OUT, "ElevenLabs: no response in time") from None
    except ApiError as error:
        raise _error_from_response(error) from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        detail = redact_line(f"{type(error).__name__} {error}")
        raise ProviderError(ErrorKind.OVERLOADED, f"ElevenLabs: {detail}") from None
    except (ParsingError, pydantic.ValidationError, AttributeError, TypeError, ValueError) as error:
        detail = f"ElevenLabs: unreadable response ({type(error).__name__})"
        raise ProviderError(ErrorKind.OVERLOADED, detail) from None


def _error_from_response(error: ApiError) -> ProviderError:
    status = error.status_code or 0
    if status < 400:
        return ProviderError(ErrorKind.OVERLOADED, "ElevenLabs: response is not JSON")
    codes, message = _parse_detail(error.body)
    known = [_BY_CODE[code] for code in codes if code in _BY_CODE]
    kind = known[0] if known else classify_status(status, f"{' '.join(codes)} {message}")
    wait = parse_retry_after(error.headers or {}, message) if status in {429, 503} else None
    if status in {401, 403} and not known:
        message = f"API key refused, check the settings; {message}"
    detail = redact_line(f"ElevenLabs answered {status}: {' '.join(codes)} {message}")
    return ProviderError(kind, detail, retry_after=wait)


def _parse_detail(body: Any) -> tuple[list[str], str]:
    """Return the codes and the message in `detail`: an object, a list of validation errors, or a string."""
    detail = body.get("detail", body) if isinstance(body, Mapping) else body
    if not isinstance(detail, Mapping):
        return [], str(detail)
    codes = [str(detail[key]) for key in ("status", "code") if detail.get(key)]
    return list(dict.fromkeys(codes)), str(detail.get("message", ""))
