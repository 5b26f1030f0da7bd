"""Keeping a limit before it is broken: turns that come evenly, at 98 % of what is allowed.

Telegram allows 30 messages a second in all, and 1000 with `allow_paid_broadcast`:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

import asyncio
from collections import deque

MESSAGES_PER_SECOND = 30
PAID_MESSAGES_PER_SECOND = 1000
_SAFETY_FACTOR = 0.98
_MAX_LAG_SECONDS = 0.25
"""Seconds by which turns may lag behind their even times and be made up for: a busy loop costs no rate. Longer
ago, and nobody wanted one."""


class RateLimiter:
    """At most `per_second` turns in any second, evenly 98 % of it. Nobody waits for another's call to end, so the
    rate does not depend on how long calls take."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self.rate = per_second * _SAFETY_FACTOR
        self._next_at = 0.0
        self._resume_at = 0.0
        self._recent: deque[float] = deque(maxlen=per_second)
        self._lock = asyncio.Lock()

    @property
    def pause_remaining(self) -> float:
        """Seconds left of a pause."""
        return max(0.0, self._resume_at - self._now())

    def pause(self, seconds: float) -> None:
        """Give no turn for that long: Telegram asked for it."""
        self._resume_at = max(self._resume_at, self._now() + seconds)

    async def acquire(self, messages: int = 1) -> None:
        """Wait for a turn to send so many messages."""
        async with self._lock:
            while (wait := self._next_allowed_at() - self._now()) > 0:  # noqa: ASYNC110 - a pause may come while it sleeps
                await asyncio.sleep(wait)
            self.consume(messages)

    def consume(self, messages: int = 1) -> None:
        """Count what is sent without waiting, such as an answer to a person: later turns make room for it."""
        now = self._now()
        idle = now - self._next_at > _MAX_LAG_SECONDS
        self._next_at = (now if idle else self._next_at) + messages / self.rate
        self._recent.extend([now] * messages)

    def _next_allowed_at(self) -> float:
        """When the next turn may be given: in its even time, and never one too many within a second."""
        full = len(self._recent) == self.per_second
        return max(self._next_at, self._resume_at, self._recent[0] + 1.0 if full else 0.0)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
