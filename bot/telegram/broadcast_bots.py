"""Bots for sending to very many people: with connections and a pace of their own, so that no answer to a person
ever waits behind a broadcast. They leave a 429 to who sends, as it concerns everything that is being sent."""

from collections.abc import Mapping
from typing import Final

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.methods import Response, TelegramMethod
from aiogram.methods.base import TelegramType

from bot.telegram.call_metrics import CallMetricsMiddleware
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, RateLimiter

_MAX_CONNECTIONS = 300
_TIMEOUT_SECONDS = 15.0
_MESSAGE_METHODS = ("send", "copy", "forward", "edit")
_CHAT_ACTION: Final = "sendChatAction"


class RateLimitMiddleware(BaseRequestMiddleware):
    """What people are answered counts against the same limit: a broadcast makes room for it."""

    def __init__(self, rate_limiter: RateLimiter) -> None:
        self._rate_limiter = rate_limiter

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        name = method.__api_method__
        if name.startswith(_MESSAGE_METHODS) and name != _CHAT_ACTION:
            self._rate_limiter.consume()
        return await make_request(bot, method)


def create_broadcast_bots(bots: Mapping[str, Bot], api_url: str) -> dict[str, Bot]:
    """A second bot for each. `api_url` is another Bot API server's, or empty for Telegram's own."""
    server = TelegramAPIServer.from_base(api_url) if api_url else PRODUCTION
    broadcast_bots = {}
    for name, bot in bots.items():
        session = AiohttpSession(api=server, limit=_MAX_CONNECTIONS, timeout=_TIMEOUT_SECONDS)
        session.middleware(CallMetricsMiddleware())
        broadcast_bots[name] = Bot(bot.token, session=session, default=bot.default)
    return broadcast_bots


def create_rate_limiters(bots: Mapping[str, Bot]) -> dict[str, RateLimiter]:
    """A pacer for each bot, which also counts what that bot says to people."""
    rate_limiters = {}
    for name, bot in bots.items():
        rate_limiters[name] = rate_limiter = RateLimiter(MESSAGES_PER_SECOND)
        bot.session.middleware(RateLimitMiddleware(rate_limiter))
    return rate_limiters
