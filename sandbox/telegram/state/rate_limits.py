"""Telegram's limits on sending, and the latency of its responses; both are off until ``POST sim/limits`` sets them.

30 messages per second in all and one per second in a chat:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits. Telegram documents neither how it counts nor how it
treats bursts. Here each limit is a bucket that holds one second's worth and refills evenly: over time no more than
the limit passes, and a burst of one second's worth may pass at once.
"""

import asyncio
import math
import time
from typing import Any

from aiogram.methods import TelegramMethod
from pydantic import BaseModel, Field

from sandbox.telegram.errors import ApiError
from sandbox.telegram.json_types import Json

_LIMITED_PREFIXES = ("send", "copy", "forward", "edit")
_MULTI_MESSAGE_METHODS = {"copymessages": "message_ids", "sendmediagroup": "media"}
"""Methods that send several messages, and the field that holds them."""


class RateLimitSettings(BaseModel, extra="forbid"):
    """The body of ``POST sim/limits``. A limit that is not set does not apply.

    Attributes:
        per_second: Messages per second in all.
        paid_per_second: The same for messages with ``allow_paid_broadcast``; applies only with ``per_second``.
        per_chat: Messages per second in one chat.
        latency: Seconds that a call takes, half of them before it is carried out.
    """

    per_second: float | None = Field(None, gt=0)
    paid_per_second: float = Field(1000, gt=0)
    per_chat: float | None = Field(None, gt=0)
    latency: float = Field(0.0, ge=0, le=60)


class RateLimits:
    """The limits and the latency in force.

    Attributes:
        refused: How many calls were answered 429 since the limits were set.
    """

    def __init__(self) -> None:
        self.settings = RateLimitSettings()
        self.refused = 0
        self._empty_at: dict[tuple[int, str], float] = {}

    def set(self, settings: RateLimitSettings) -> None:
        """Put new settings in force; all counts start at zero."""
        self.settings = settings
        self.refused = 0
        self._empty_at.clear()

    def snapshot(self) -> Json:
        """Return the settings and ``refused`` as JSON."""
        return {**self.settings.model_dump(), "refused": self.refused}

    async def simulate_latency(self, name: str) -> None:
        """Wait for half of a call's latency; ``name`` is the method, and ``getUpdates`` has none."""
        if self.settings.latency and name.lower() != "getupdates":
            await asyncio.sleep(self.settings.latency / 2)

    def check(self, bot_id: int, method: TelegramMethod[Any]) -> None:
        """Count a call; methods that send or edit nothing are not limited.

        Raises:
            ApiError: 429 when the call exceeds a limit; it is not counted then.
        """
        name = method.__api_method__.lower()
        if not name.startswith(_LIMITED_PREFIXES) or name == "sendchataction":
            return
        weight = len(getattr(method, _MULTI_MESSAGE_METHODS[name])) if name in _MULTI_MESSAGE_METHODS else 1
        settings, buckets = self.settings, list[tuple[str, float, int]]()
        if settings.per_second is not None:
            paid = bool(getattr(method, "allow_paid_broadcast", None))
            rate = settings.paid_per_second if paid else settings.per_second
            buckets.append(("paid" if paid else "all", rate, weight))
        if settings.per_chat is not None:
            buckets.append((str(getattr(method, "chat_id", "")), settings.per_chat, 1))
        now = time.monotonic()
        waits = [self._wait(bot_id, *bucket, now) for bucket in buckets]
        if (wait := max(waits, default=0.0)) > 1e-6:
            self.refused += 1
            seconds = max(1, math.ceil(wait))
            raise ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        for key, rate, count in buckets:
            self._empty_at[bot_id, key] = max(self._empty_at.get((bot_id, key), 0.0), now) + count / rate

    def _wait(self, bot_id: int, key: str, rate: float, count: int, now: float) -> float:
        """Seconds until a bucket has room for ``count`` messages."""
        held = max(0.0, self._empty_at.get((bot_id, key), 0.0) - now) * rate
        return (held + count - max(rate, count)) / rate
