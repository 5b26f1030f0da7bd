"""Creates the configured bots: each one twice, to answer users and to send broadcasts, and a rate limiter for it."""

from collections.abc import Mapping
from typing import Final

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.types import LinkPreviewOptions

from bot.telegram.session import CallMetricsMiddleware, RateLimitMiddleware, RetryAfterMiddleware
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, RateLimiter

_TIMEOUT_SECONDS: Final = 60.0
_BROADCAST_CONNECTIONS: Final = 300
_BROADCAST_TIMEOUT_SECONDS: Final = 15.0


def _server(api_url: str) -> TelegramAPIServer:
    return TelegramAPIServer.from_base(api_url) if api_url else PRODUCTION


def create_bots(tokens: Mapping[str, str], api_url: str) -> dict[str, Bot]:
    """Create the bots that answer users.

    Args:
        tokens: Each bot's token, by the bot's name in the settings.
        api_url: The URL of another Bot API server; empty for Telegram's own.

    Returns:
        The bots by name. They send HTML without link previews. The caller must close their sessions.
    """
    properties = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview=LinkPreviewOptions(is_disabled=True))
    bots = {}
    for name, token in tokens.items():
        session = AiohttpSession(api=_server(api_url), timeout=_TIMEOUT_SECONDS)
        session.middleware(RetryAfterMiddleware())
        session.middleware(CallMetricsMiddleware())
        bots[name] = Bot(token, session=session, default=properties)
    return bots


def create_broadcast_bots(bots: Mapping[str, Bot], api_url: str) -> dict[str, Bot]:
    """Create the same bots with separate connections, so that no answer to a user waits behind a broadcast.

    They do not wait after a 429: the whole broadcast has to wait, not only the one call.

    Args:
        bots: The bots that answer users, by name.
        api_url: The URL of another Bot API server; empty for Telegram's own.

    Returns:
        A second bot for each, by name. The caller must close their sessions.
    """
    broadcast_bots = {}
    for name, bot in bots.items():
        session = AiohttpSession(
            api=_server(api_url), limit=_BROADCAST_CONNECTIONS, timeout=_BROADCAST_TIMEOUT_SECONDS
        )
        session.middleware(CallMetricsMiddleware())
        broadcast_bots[name] = Bot(bot.token, session=session, default=bot.default)
    return broadcast_bots


def create_rate_limiters(bots: Mapping[str, Bot]) -> dict[str, RateLimiter]:
    """Create a rate limiter for each bot's broadcasts. It also counts what the bot sends to users from now on.

    Args:
        bots: The bots that answer users, by name.

    Returns:
        The rate limiters by name.
    """
    rate_limiters = {}
    for name, bot in bots.items():
        rate_limiters[name] = rate_limiter = RateLimiter(MESSAGES_PER_SECOND)
        bot.session.middleware(RateLimitMiddleware(rate_limiter))
    return rate_limiters
