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

from bot.telegram.call_metrics import CountCalls
from services.messaging.rate_limiter import PER_SECOND, Pacer

_CONNECTIONS = 300
_ANSWER_SECONDS = 15.0
_MESSAGES = ("send", "copy", "forward", "edit")
_NO_MESSAGE: Final = "sendChatAction"


class SpendTurns(BaseRequestMiddleware):
    """What people are answered counts against the same limit: a broadcast makes room for it."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Response[TelegramType]:
        name = method.__api_method__
        if name.startswith(_MESSAGES) and name != _NO_MESSAGE:
            self._pacer.spend()
        return await make_request(bot, method)


def create_bulk_bots(bots: Mapping[str, Bot], api_url: str) -> dict[str, Bot]:
    """A second bot for each. `api_url` is another Bot API server's, or empty for Telegram's own."""
    server = TelegramAPIServer.from_base(api_url) if api_url else PRODUCTION
    bulk = {}
    for name, bot in bots.items():
        session = AiohttpSession(api=server, limit=_CONNECTIONS, timeout=_ANSWER_SECONDS)
        session.middleware(CountCalls())
        bulk[name] = Bot(bot.token, session=session, default=bot.default)
    return bulk


def create_pacers(bots: Mapping[str, Bot]) -> dict[str, Pacer]:
    """A pacer for each bot, which also counts what that bot says to people."""
    pacers = {}
    for name, bot in bots.items():
        pacers[name] = pacer = Pacer(PER_SECOND)
        bot.session.middleware(SpendTurns(pacer))
    return pacers
