"""Telegram's limits on sending, and how long its answers take; both off until ``POST sim/limits`` sets them.

30 messages a second in all and one a second in a chat: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits
Telegram says neither how it counts nor how bursts end. Here each limit is a bucket that holds one second's worth
and refills evenly: over any length of time no more than the limit goes through, and a second's burst may.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from sandbox.telegram.api.requests import AnyMethod
from sandbox.telegram.errors import ApiError

Json = dict[str, Any]

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
    """Body of ``POST sim/limits``: messages a second in all, with ``allow_paid_broadcast``, and in one chat;
    ``latency`` in seconds, half of it before a call is carried out. Without a number there is no limit."""

    per_second: float | None = Field(None, gt=0)
    paid_per_second: float = Field(1000, gt=0)
    per_chat: float | None = Field(None, gt=0)
    latency: float = Field(0.0, ge=0, le=60)


@dataclass(slots=True)
class _Bucket:
    """How full it is, as of ``at``."""

    level: float = 0.0
    at: float = 0.0

    def wait(self, rate: float, size: float, weight: float, now: float) -> float:
        """Seconds until there is room for ``weight``; zero: now."""
        self.level = max(0.0, self.level - (now - self.at) * rate)
        self.at = now
        return max(0.0, (self.level + weight - size) / rate)


class RateLimits:
    """What is in force."""

    def __init__(self) -> None:
        self.settings = RateLimitSettings()
        self.refused = 0
        self._buckets: dict[tuple[int, str], _Bucket] = {}

    def set(self, settings: RateLimitSettings) -> None:
        """Put an order in force, with empty buckets."""
        self.settings = settings
        self.refused = 0
        self._buckets.clear()

    def snapshot(self) -> Json:
        """What is in force, and how often it was broken since."""
        return {**self.settings.model_dump(), "refused": self.refused}

    async def simulate_latency(self, name: str) -> None:
        """Half of a call's latency."""
        if self.settings.latency and name.lower() not in _METHODS_WITHOUT_LATENCY:
            await asyncio.sleep(self.settings.latency / 2)

    def check(self, bot_id: int, method: AnyMethod) -> None:
        """Count a call; ``ApiError`` 429 where it breaks a limit."""
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
