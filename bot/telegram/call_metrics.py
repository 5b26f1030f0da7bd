"""Every call to Telegram is counted, by its method and how it ended."""

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
from aiogram.methods import Response, TelegramMethod
from aiogram.methods.base import TelegramType

from services.core.metrics import TELEGRAM_WAIT_SECONDS, record_telegram_call

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


class CallMetricsMiddleware(BaseRequestMiddleware):
    """Counts each call, also the one that is made again after a 429."""

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
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
