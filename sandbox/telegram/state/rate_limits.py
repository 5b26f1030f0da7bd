"""Telegram's limits on sending, and the latency of its responses; both are off until ``POST sim/limits`` sets them.

30 messages per second in all and one per second in a chat:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits. Telegram documents neither how it counts nor how it
treats bursts. Here each limit is a bucket that holds one second's worth and refills evenly: over time no more than
the limit passes, and a burst of one second's worth may pass at once.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

from aiogram.methods import TelegramMethod
from pydantic import BaseModel, Field

from sandbox.telegram.errors import ApiError
from sandbox.telegram.json_types import Json

_LIMITED_PREFIXES = ("send", "copy", "forward", "edit")
_UNLIMITED_METHODS = ("sendchataction",)
_MULTI_MESSAGE_METHODS = {
    "copymessages": "message_ids",
    "forwardmessages": "message_ids",
    "sendmediagroup": "media",
}
"""Methods that send several messages, and the field that holds them."""
_METHODS_WITHOUT_LATENCY = ("getupdates",)


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


@dataclass(slots=True)
class _Bucket:
    """A leaky bucket: ``level`` messages at the time ``at``."""

    level: float = 0.0
    at: float = 0.0

    def wait(self, rate: float, size: float, weight: float, now: float) -> float:
        """Seconds until there is room for ``weight`` messages; 0 when there is room now."""
        self.level = max(0.0, self.level - (now - self.at) * rate)
        self.at = now
        return max(0.0, (self.level + weight - size) / rate)


class RateLimits:
    """The limits and the latency in force.

    Attributes:
        refused: How many calls were answered 429 since the limits were set.
    """

    def __init__(self) -> None:
        self.settings = RateLimitSettings()
        self.refused = 0
        self._buckets: dict[tuple[int, str], _Bucket] = {}

    def set(self, settings: RateLimitSettings) -> None:
        """Put new settings in force; all counts start at zero."""
        self.settings = settings
        self.refused = 0
        self._buckets.clear()

    def snapshot(self) -> Json:
        """Return the settings and ``refused`` as JSON."""
        return {**self.settings.model_dump(), "refused": self.refused}

    async def simulate_latency(self, name: str) -> None:
        """Wait for half of a call's latency; ``name`` is the method, and ``getUpdates`` has none."""
        if self.settings.latency and name.lower() not in _METHODS_WITHOUT_LATENCY:
            await asyncio.sleep(self.settings.latency / 2)

    def check(self, bot_id: int, method: TelegramMethod[Any]) -> None:
        """Count a call; methods that send or edit nothing are not limited.

        Raises:
            ApiError: 429 when the call exceeds a limit; it is not counted then.
        """
        name = method.__api_method__.lower()
        if not name.startswith(_LIMITED_PREFIXES) or name in _UNLIMITED_METHODS:
            return
        settings, now, charges = self.settings, time.monotonic(), list[tuple[_Bucket, float]]()
        paid = bool(getattr(method, "allow_paid_broadcast", None))
        total_rate = settings.paid_per_second if paid else settings.per_second
        weight = (
            float(len(getattr(method, _MULTI_MESSAGE_METHODS[name]))) if name in _MULTI_MESSAGE_METHODS else 1.0
        )
        if settings.per_second is not None and total_rate is not None:
            charges.append(
                (self._bucket_with_room(bot_id, "paid" if paid else "all", total_rate, weight, now), weight)
            )
        if settings.per_chat is not None:
            chat = str(getattr(method, "chat_id", ""))
            charges.append((self._bucket_with_room(bot_id, chat, settings.per_chat, 1.0, now), 1.0))
        for bucket, part in charges:
            bucket.level += part

    def _bucket_with_room(self, bot_id: int, key: str, rate: float, weight: float, now: float) -> _Bucket:
        bucket = self._buckets.setdefault((bot_id, key), _Bucket())
        wait = bucket.wait(rate, max(rate, weight), weight, now)
        if wait > 1e-9:
            self.refused += 1
            seconds = max(1, math.ceil(wait))
            raise ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        return bucket
