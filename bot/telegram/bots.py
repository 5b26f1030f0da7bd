"""The bots, and how their calls keep Telegram's limits."""

import asyncio
from collections.abc import Mapping

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import TelegramRetryAfter
from aiogram.methods import AnswerPreCheckoutQuery, GetUpdates, Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import LinkPreviewOptions, Message
from loguru import logger

from bot.telegram.call_metrics import CallMetricsMiddleware

_RESPONSE_MODELS = (Response[Message], Response[bool], Response[Message | bool])
"""Held for ever: pydantic forgets a generic model that nobody holds, and aiogram would have it built again."""
_MAX_RETRY_AFTER = 30


_EXEMPT_METHODS = (GetUpdates, AnswerPreCheckoutQuery)
"""What no 429 of another call holds up: it sends nothing to a chat, and a payment waits for 10 s at most."""


class RetryAfterMiddleware(BaseRequestMiddleware):
    """When Telegram answers 429, every call of this bot waits as long as it said, then the call is made again."""

    def __init__(self) -> None:
        self._until = 0.0

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        loop = asyncio.get_running_loop()
        if (wait := self._until - loop.time()) > 0 and not isinstance(method, _EXEMPT_METHODS):
            await asyncio.sleep(wait)
        try:
            return await make_request(bot, method)
        except TelegramRetryAfter as error:
            self._until = max(self._until, loop.time() + error.retry_after)
            logger.warning("{}: Telegram asks to wait {} s", type(method).__name__, error.retry_after)
            if error.retry_after > _MAX_RETRY_AFTER:
                raise
            await asyncio.sleep(error.retry_after)
            return await make_request(bot, method)


def create_bots(tokens: Mapping[str, str], api_url: str) -> dict[str, Bot]:
    """A bot for each token, by name. `api_url` is another Bot API server's, or empty for Telegram's own."""
    server = TelegramAPIServer.from_base(api_url) if api_url else PRODUCTION
    bots = {}
    for name, token in tokens.items():
        session = AiohttpSession(api=server, timeout=60)
        session.middleware(RetryAfterMiddleware())
        session.middleware(CallMetricsMiddleware())
        properties = DefaultBotProperties(
            parse_mode=ParseMode.HTML, link_preview=LinkPreviewOptions(is_disabled=True)
        )
        bots[name] = Bot(token, session=session, default=properties)
    return bots
