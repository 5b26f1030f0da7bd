"""The middlewares of calls to Telegram: they wait after a 429, count towards the rate limit and record metrics."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from aiogram import Bot
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import AnswerPreCheckoutQuery, GetUpdates, Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import Message
from loguru import logger

from services.core.metrics import TELEGRAM_WAIT_SECONDS, record_telegram_call
from services.messaging.rate_limiter import RateLimiter

_RESPONSE_MODELS: Final = (Response[Message], Response[bool], Response[Message | bool])
"""Kept for the life of the process: pydantic drops a generic model that nothing references, and aiogram would build it
again for the next call."""

_MAX_RETRY_AFTER_SECONDS: Final = 30
_EXEMPT_METHODS: Final = (GetUpdates, AnswerPreCheckoutQuery)
"""Calls that do not wait after another call's 429: they send nothing to a chat, and a pre-checkout query must be
answered within 10 s (https://core.telegram.org/bots/api#answerprecheckoutquery)."""

_MESSAGE_PREFIXES: Final = ("send", "copy", "forward", "edit")
_CHAT_ACTION: Final = "sendChatAction"

_OUTCOMES: Final[Mapping[type[TelegramAPIError], str]] = {
    TelegramRetryAfter: "429",
    TelegramBadRequest: "400",
    TelegramUnauthorizedError: "401",
    TelegramForbiddenError: "403",
    TelegramNotFound: "404",
    TelegramConflictError: "409",
    TelegramServerError: "5xx",
    TelegramNetworkError: "no answer",
}


class RetryAfterMiddleware(BaseRequestMiddleware):
    """Waits as long as Telegram's 429 says, then makes the call once more.

    Meanwhile all other calls of the bot wait too, except GetUpdates and AnswerPreCheckoutQuery. If the wait is longer
    than 30 s, the call is not repeated and TelegramRetryAfter is raised.
    """

    def __init__(self) -> None:
        self._resumes_at = 0.0

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        """Make the call as soon as Telegram allows it."""
        loop = asyncio.get_running_loop()
        if (wait := self._resumes_at - loop.time()) > 0 and not isinstance(method, _EXEMPT_METHODS):
            await asyncio.sleep(wait)
        try:
            return await make_request(bot, method)
        except TelegramRetryAfter as error:
            self._resumes_at = max(self._resumes_at, loop.time() + error.retry_after)
            logger.warning("rate limited by Telegram", method=type(method).__name__, seconds=error.retry_after)
            if error.retry_after > _MAX_RETRY_AFTER_SECONDS:
                raise
            await asyncio.sleep(error.retry_after)
            return await make_request(bot, method)


class RateLimitMiddleware(BaseRequestMiddleware):
    """Counts the bot's messages to users in the rate limiter of its broadcasts, which then send fewer.

    It never waits itself: answers to users take precedence.

    Args:
        rate_limiter: The rate limiter of the bot's broadcasts.
    """

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self._rate_limiter = rate_limiter

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        """Make the call, and count it if it is a message or an edit."""
        name = method.__api_method__
        if name.startswith(_MESSAGE_PREFIXES) and name != _CHAT_ACTION:
            self._rate_limiter.consume()
        return await make_request(bot, method)


class CallMetricsMiddleware(BaseRequestMiddleware):
    """Records the method, outcome and duration of each call. A call repeated after a 429 is recorded twice."""

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        """Make the call, and record how it ended."""
        started, outcome = time.perf_counter(), "given up"
        try:
            response = await make_request(bot, method)
            outcome = "ok"
        except TelegramAPIError as error:
            outcome = next((name for kind, name in _OUTCOMES.items() if isinstance(error, kind)), "other")
            if isinstance(error, TelegramRetryAfter):
                TELEGRAM_WAIT_SECONDS.inc(error.retry_after)
            raise
        finally:
            record_telegram_call(method.__api_method__, outcome, time.perf_counter() - started)
        return response
