"""Keeps below Telegram's limits by spacing messages evenly, at 98 % of the allowed rate.

Telegram allows a bot 30 messages per second, and 1000 with `allow_paid_broadcast`:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

import asyncio
from collections import deque

MESSAGES_PER_SECOND = 30
PAID_MESSAGES_PER_SECOND = 1000
_SAFETY_FACTOR = 0.98
_MAX_LAG_SECONDS = 0.25
"""How many seconds of delay messages may catch up on, so that a busy event loop does not lower the rate. After a longer
gap, in which nothing was waiting, spacing starts again from now."""


class RateLimiter:
    """Allows at most `per_second` messages in any second, however long the calls take.

    Args:
        per_second: The limit, in messages per second.
    """

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self.rate = per_second * _SAFETY_FACTOR
        self._next_at = 0.0
        self._resume_at = 0.0
        self._recent: deque[float] = deque(maxlen=per_second)
        self._lock = asyncio.Lock()

    @property
    def pause_remaining(self) -> float:
        """The remaining seconds of a pause; 0 if there is none."""
        return max(0.0, self._resume_at - self._now())

    def pause(self, seconds: float) -> None:
        """Allow no messages for some time, because Telegram requested it.

        Args:
            seconds: The length of the pause, from now.
        """
        self._resume_at = max(self._resume_at, self._now() + seconds)

    async def acquire(self, messages: int = 1) -> None:
        """Wait until the given number of messages may be sent."""
        async with self._lock:
            while (wait := self._next_allowed_at() - self._now()) > 0:  # noqa: ASYNC110 - a pause may begin during the sleep
                await asyncio.sleep(wait)
            self.consume(messages)

    def consume(self, messages: int = 1) -> None:
        """Count messages sent without waiting, such as answers to a user. This delays the messages that wait."""
        now = self._now()
        idle = now - self._next_at > _MAX_LAG_SECONDS
        self._next_at = (now if idle else self._next_at) + messages / self.rate
        self._recent.extend([now] * messages)

    def _next_allowed_at(self) -> float:
        """When the next message may be sent, by both the even spacing and the limit per second."""
        full = len(self._recent) == self.per_second
        return max(self._next_at, self._resume_at, self._recent[0] + 1.0 if full else 0.0)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
