"""What every part of the business works with: the database, the bots, the texts and the providers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiogram import Bot

from services.core.background import BackgroundTasks
from services.core.edit_throttle import EditThrottle
from services.core.i18n import Texts
from services.durable.pubsub import PubSub
from services.generation.context import Providers
from services.messaging.rate_limiter import RateLimiter
from storage.pool import Pool


@dataclass(frozen=True)
class AppContext:
    db: Pool
    bots: Mapping[str, Bot]
    """By name; a job is answered by the bot it was ordered from."""
    texts: Texts
    providers: Providers
    admins: frozenset[int] = frozenset()
    """Telegram's user ids of those who run this."""
    lease_seconds: float = 15.0
    """How long a runner that fell silent keeps its job."""
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    throttle: EditThrottle = field(default_factory=EditThrottle)
    pubsub: PubSub = field(default_factory=PubSub)
    broadcast_bots: Mapping[str, Bot] = field(default_factory=dict)
    """The same bots by name, for sending to very many people: with connections of their own."""
    rate_limiters: Mapping[str, RateLimiter] = field(default_factory=dict)
    """By the bots' names: how fast each may send, whoever it is to."""

    def bot_or_default(self, name: str) -> Bot:
        """The bot of that name; another of ours where it was renamed or taken away since the order."""
        return self.bots.get(name) or next(iter(self.bots.values()))
