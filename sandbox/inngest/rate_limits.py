"""Concurrency limits, rate limits and the memory of recent keys."""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from sandbox.inngest.clock import Clock

DAY_SECONDS: Final = 86_400.0

ConcurrencyLimit = tuple[str, int]
"""A concurrency key and how many calls may run under it at the same time."""


@dataclass(frozen=True, slots=True)
class ThrottleLimit:
    """How often runs may start.

    Attributes:
        key: Runs with the same key share the limit.
        limit: How many runs may start per period.
        period: Seconds.
        burst: How many may start at once in addition to the first.
    """

    key: str
    limit: int
    period: float
    burst: int


@dataclass(order=True)
class _Waiter:
    rank: float
    number: int
    limits: tuple[ConcurrencyLimit, ...] = field(compare=False)
    throttle: "ThrottleLimit | None" = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class ConcurrencyLimiter:
    """Counts running calls by key. Waiting calls of a lower rank go first; a run that sleeps counts nowhere."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Start with no calls; throttles use ``clock``."""
        self._clock = clock or Clock()
        self._throttles = RateLimiter()
        self._next_grant: asyncio.TimerHandle | None = None
        self._used: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def acquire(
        self, limits: tuple[ConcurrencyLimit, ...], rank: float, throttle: ThrottleLimit | None = None
    ) -> AsyncIterator[None]:
        """Wait until a call may start, and count it inside the block.

        Args:
            limits: The concurrency keys of the call; each must have room.
            rank: Lower ranks go first.
            throttle: The limit on starts, for the first call of a run.
        """
        waiter = _Waiter(rank, next(self._numbers), limits, throttle, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiter)
        self._grant_ready()
        try:
            await waiter.granted
            yield
        finally:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self._used.subtract(key for key, _ in limits)
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
                heapq.heapify(self._waiting)
            self._grant_ready()

    def _grant_ready(self) -> None:
        held_back: list[_Waiter] = []
        waits: list[float] = []
        now = self._clock.now()
        while self._waiting:
            waiter = heapq.heappop(self._waiting)
            if waiter.granted.cancelled():
                continue
            wait = self._throttles.wait_for(waiter.throttle, now) if waiter.throttle else 0.0
            if wait <= 0 and all(self._used[key] < limit for key, limit in waiter.limits):
                self._used.update(key for key, _ in waiter.limits)
                if waiter.throttle:
                    self._throttles.consume_from(waiter.throttle, now)
                waiter.granted.set_result(None)
            else:
                held_back.append(waiter)
                waits += [wait] if wait > 0 else []
        self._waiting = held_back  # popped in order, so still a heap
        self._schedule_grant(waits)

    def _schedule_grant(self, waits: list[float]) -> None:
        """Try again when the first of the throttles allows another start."""
        if self._next_grant is not None:
            self._next_grant.cancel()
        self._next_grant = None
        if waits:
            loop = asyncio.get_running_loop()
            self._next_grant = loop.call_later(min(waits) / self._clock.speed, self._grant_ready)


class RateLimiter:
    """The generic cell rate algorithm, as ``ratelimit.lua`` of inngest/inngest counts it."""

    def __init__(self) -> None:
        self._next_arrival: dict[str, float] = {}

    def wait(self, key: str, *, limit: int, period: float, burst: int, now: float) -> float:
        """Return the seconds until one more is allowed; 0 when it is allowed now.

        Args:
            key: Those with the same key share the limit.
            limit: How many are allowed per period.
            period: Seconds.
            burst: How many are allowed at once in addition to the first.
            now: The current time in seconds.
        """
        ahead = max(0.0, self._next_arrival.get(key, now) - now)  # sums of floats would not be 0 for the first
        return max(0.0, ahead - burst * period / max(limit, 1))

    def consume(self, key: str, *, limit: int, period: float, now: float) -> None:
        """Count one; for the arguments see ``wait``."""
        self._next_arrival[key] = max(now, self._next_arrival.get(key, now)) + period / max(limit, 1)

    def wait_for(self, throttle: ThrottleLimit, now: float) -> float:
        """Return the seconds until a throttle allows one more start; 0 when it allows one now."""
        return self.wait(throttle.key, limit=throttle.limit, period=throttle.period, burst=throttle.burst, now=now)

    def consume_from(self, throttle: ThrottleLimit, now: float) -> None:
        """Count one start under a throttle."""
        self.consume(throttle.key, limit=throttle.limit, period=throttle.period, now=now)


class RecentKeys:
    """Remembers keys for a day, as the real server remembers event ids."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def contains(self, key: str, now: float) -> bool:
        """Whether the key was added within a day before ``now`` (seconds)."""
        return self._until.get(key, 0.0) > now

    def add(self, key: str, now: float) -> bool:
        """Remember a key; returns False when it is already remembered."""
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
        if key in self._until:
            return False
        self._until[key] = now + DAY_SECONDS
        return True
