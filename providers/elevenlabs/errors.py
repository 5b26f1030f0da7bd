"""The one place where the ElevenLabs client's errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pydantic
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.parse_error import ParsingError

from providers.errors import classify_status, parse_retry_after, sanitize
from providers.protocols import ErrorKind, ProviderError

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
"""What the status does not say: an empty purse is a 401, a busy system a 429.

https://help.elevenlabs.io/hc/en-us/articles/19572237925521 and the answers' `detail.status`.
"""


@asynccontextmanager
async def translate_elevenlabs_errors(seconds: float) -> AsyncIterator[None]:
    """Bound a question in time, and raise ProviderError for whatever fails inside, without its chain."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, httpx.TimeoutException):
        raise ProviderError(ErrorKind.TIMED_OUT, "ElevenLabs: no answer in time") from None
    except ApiError as error:
        raise _error_from_response(error) from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        told = sanitize(f"{type(error).__name__} {error}")
        raise ProviderError(ErrorKind.OVERLOADED, f"ElevenLabs: {told}") from None
    except (ParsingError, pydantic.ValidationError, AttributeError, TypeError, ValueError) as error:
        told = f"ElevenLabs: an answer that could not be read ({type(error).__name__})"
        raise ProviderError(ErrorKind.OVERLOADED, told) from None


def _error_from_response(error: ApiError) -> ProviderError:
    status = error.status_code or 0
    if status < 400:
        return ProviderError(ErrorKind.OVERLOADED, "ElevenLabs: an answer that is not JSON")
    codes, said = _parse_detail(error.body)
    known = [_BY_CODE[code] for code in codes if code in _BY_CODE]
    kind = known[0] if known else classify_status(status, f"{' '.join(codes)} {said}")
    wait = parse_retry_after(error.headers or {}, said) if status in {429, 503} else None
    if status in {401, 403} and not known:
        said = f"the API key was refused, check it in the settings; {said}"
    detail = sanitize(f"ElevenLabs answered {status}: {' '.join(codes)} {said}")
    return ProviderError(kind, detail, retry_after=wait)


def _parse_detail(body: Any) -> tuple[list[str], str]:
    """The codes and the words in `detail`, which is an object, a list of what is invalid, or a text."""
    detail = body.get("detail", body) if isinstance(body, Mapping) else body
    if not isinstance(detail, Mapping):
        return [], str(detail)
    codes = [str(detail[key]) for key in ("status", "code") if detail.get(key)]
    return list(dict.fromkeys(codes)), str(detail.get("message", ""))
