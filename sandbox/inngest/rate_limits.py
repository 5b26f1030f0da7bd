"""How many at once, how many in a while, and what came before."""

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
"""A concurrency key and how many calls may hold it."""


@dataclass(frozen=True, slots=True)
class ThrottleLimit:
    """How often something may begin: ``limit`` in ``period`` seconds, and ``burst`` beside the first at once."""

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
    """Counts the calls under way by key. Lower ranks go first; a run that sleeps or waits holds nothing.

    Args:
        pace: By whose clock gates open.
    """

    def __init__(self, clock: Clock | None = None) -> None:
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
        """Wait until every key has room and the gate is open, and hold one place of each inside the block."""
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
        """When the first of the closed gates opens."""
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
        """Seconds until one more is allowed; 0 when it is allowed now."""
        ahead = max(0.0, self._next_arrival.get(key, now) - now)  # sums of floats would not be 0 for the first
        return max(0.0, ahead - burst * period / max(limit, 1))

    def consume(self, key: str, *, limit: int, period: float, now: float) -> None:
        """Count one."""
        self._next_arrival[key] = max(now, self._next_arrival.get(key, now)) + period / max(limit, 1)

    def wait_for(self, throttle: ThrottleLimit, now: float) -> float:
        """Seconds until a gate opens; 0 when it is open."""
        return self.wait(throttle.key, limit=throttle.limit, period=throttle.period, burst=throttle.burst, now=now)

    def consume_from(self, throttle: ThrottleLimit, now: float) -> None:
        """Count one through a gate."""
        self.consume(throttle.key, limit=throttle.limit, period=throttle.period, now=now)


class RecentKeys:
    """Remembers keys for a day."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def contains(self, key: str, now: float) -> bool:
        """Whether the key is remembered."""
        return self._until.get(key, 0.0) > now

    def add(self, key: str, now: float) -> bool:
        """Remember the key; False when it is remembered already."""
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
        if key in self._until:
            return False
        self._until[key] = now + DAY_SECONDS
        return True
