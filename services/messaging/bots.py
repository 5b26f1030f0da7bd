"""The bots of this process, by the names that the settings give them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiogram import Bot
from loguru import logger

from services.messaging.rate_limiter import RateLimiter


@dataclass(frozen=True)
class Bots:
    """All bots of this process.

    Attributes:
        by_name: The bots. A user is answered by the bot they wrote to.
        for_broadcasts: The same bots with connections of their own, for sending to very many users.
        rate_limiters: How fast each bot may send.
    """

    by_name: Mapping[str, Bot]
    for_broadcasts: Mapping[str, Bot] = field(default_factory=dict)
    rate_limiters: Mapping[str, RateLimiter] = field(default_factory=dict)
    _missing: set[str] = field(default_factory=set, repr=False, compare=False)

    def get(self, name: str) -> Bot:
        """The bot of that name.

        A bot may have been renamed or removed since an order was accepted. The user still has to learn how it ended,
        so the first bot is used instead; that is logged once for each name.

        Args:
            name: The bot's name in the settings.
        """
        bot = self.by_name.get(name)
        if bot is not None:
            return bot
        fallback, bot = next(iter(self.by_name.items()))
        if name not in self._missing:
            self._missing.add(name)
            logger.warning("bot is not configured, another one answers", bot=name, fallback=fallback)
        return bot

    async def close(self) -> None:
        """Close the connections to Telegram."""
        for bot in (*self.by_name.values(), *self.for_broadcasts.values()):
            await bot.session.close()
