"""The bots of this process, by their names in the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiogram import Bot
from loguru import logger

from services.messaging.rate_limiter import RateLimiter


@dataclass(frozen=True)
class Bots:
    """All bots of this process.

    Attributes:
        by_name: The bots by name. A user is answered by the bot they wrote to.
        for_broadcasts: The same bots with separate connections, for broadcasts.
        rate_limiters: Each bot's rate limiter.
    """

    by_name: Mapping[str, Bot]
    for_broadcasts: Mapping[str, Bot] = field(default_factory=dict)
    rate_limiters: Mapping[str, RateLimiter] = field(default_factory=dict)
    _missing: set[str] = field(default_factory=set, repr=False, compare=False)

    def get(self, name: str) -> Bot:
        """Return the bot with that name.

        A bot may have been renamed or removed since an order was accepted. The user must still hear how the order
        ended, so the first bot is used instead; this is logged once per name.

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
