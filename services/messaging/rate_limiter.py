"""Keeping a limit before it is broken: turns that come evenly, at 98 % of what is allowed.

Telegram allows 30 messages a second in all, and 1000 with `allow_paid_broadcast`:
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

import asyncio
from collections import deque

PER_SECOND = 30
PAID_PER_SECOND = 1000
_SHARE = 0.98
_CATCH_UP = 0.25
"""Seconds by which turns may lag behind their even times and be made up for: a busy loop costs no rate. Longer
ago, and nobody wanted one."""


class Pacer:
    """At most `per_second` turns in any second, evenly 98 % of it. Nobody waits for another's call to end, so the
    rate does not depend on how long calls take."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self.rate = per_second * _SHARE
        self._next = 0.0
        self._resume = 0.0
        self._taken: deque[float] = deque(maxlen=per_second)
        self._order = asyncio.Lock()

    @property
    def paused(self) -> float:
        """Seconds left of a pause."""
        return max(0.0, self._resume - self._now())

    def pause(self, seconds: float) -> None:
        """Give no turn for that long: Telegram asked for it."""
        self._resume = max(self._resume, self._now() + seconds)

    async def turn(self, messages: int = 1) -> None:
        """Wait for a turn to send so many messages."""
        async with self._order:
            while (wait := self._due() - self._now()) > 0:  # noqa: ASYNC110 - a pause may come while it sleeps
                await asyncio.sleep(wait)
            self.spend(messages)

    def spend(self, messages: int = 1) -> None:
        """Count what is sent without waiting, such as an answer to a person: later turns make room for it."""
        now = self._now()
        idle = now - self._next > _CATCH_UP
        self._next = (now if idle else self._next) + messages / self.rate
        self._taken.extend([now] * messages)

    def _due(self) -> float:
        """When the next turn may be given: in its even time, and never one too many within a second."""
        full = len(self._taken) == self.per_second
        return max(self._next, self._resume, self._taken[0] + 1.0 if full else 0.0)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
