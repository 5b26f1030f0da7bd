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

_COUNTED = ("send", "copy", "forward", "edit")
_NOT_COUNTED = ("sendchataction",)
_ALBUMS = {"copymessages": "message_ids", "forwardmessages": "message_ids", "sendmediagroup": "media"}
"""Methods that send several messages, and the field that holds them."""
_ANSWERED_AT_ONCE = ("getupdates",)


class LimitsOrder(BaseModel, extra="forbid"):
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


class Limits:
    """What is in force."""

    def __init__(self) -> None:
        self.order = LimitsOrder()
        self.refused = 0
        self._buckets: dict[tuple[int, str], _Bucket] = {}

    def set(self, order: LimitsOrder) -> None:
        """Put an order in force, with empty buckets."""
        self.order = order
        self.refused = 0
        self._buckets.clear()

    def state(self) -> Json:
        """What is in force, and how often it was broken since."""
        return {**self.order.model_dump(), "refused": self.refused}

    async def travel(self, name: str) -> None:
        """Half of a call's latency."""
        if self.order.latency and name.lower() not in _ANSWERED_AT_ONCE:
            await asyncio.sleep(self.order.latency / 2)

    def admit(self, bot_id: int, method: AnyMethod) -> None:
        """Count a call; ``ApiError`` 429 where it breaks a limit."""
        name = method.__api_method__.lower()
        if not name.startswith(_COUNTED) or name in _NOT_COUNTED:
            return
        order, now, taken = self.order, time.monotonic(), list[tuple[_Bucket, float]]()
        paid = bool(getattr(method, "allow_paid_broadcast", None))
        in_all = order.paid_per_second if paid else order.per_second
        weight = float(len(getattr(method, _ALBUMS[name]))) if name in _ALBUMS else 1.0
        if order.per_second is not None and in_all is not None:
            taken.append((self._room(bot_id, "paid" if paid else "all", in_all, weight, now), weight))
        if order.per_chat is not None:
            chat = str(getattr(method, "chat_id", ""))
            taken.append((self._room(bot_id, chat, order.per_chat, 1.0, now), 1.0))
        for bucket, part in taken:
            bucket.level += part

    def _room(self, bot_id: int, key: str, rate: float, weight: float, now: float) -> _Bucket:
        bucket = self._buckets.setdefault((bot_id, key), _Bucket())
        wait = bucket.wait(rate, max(rate, weight), weight, now)
        if wait > 1e-9:
            self.refused += 1
            seconds = max(1, math.ceil(wait))
            raise ApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        return bucket
