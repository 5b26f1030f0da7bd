"""How many at once, how many in a while, and what came before."""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

DAY: Final = 86_400.0

Slot = tuple[str, int]
"""A concurrency key and how many calls may hold it."""


@dataclass(order=True)
class _Waiter:
    rank: float
    order: int
    slots: tuple[Slot, ...] = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class Capacity:
    """Counts the calls under way by key. Older runs go first; a run that sleeps or waits holds nothing."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def hold(self, slots: tuple[Slot, ...], rank: float) -> AsyncIterator[None]:
        """Wait until every key has room, and hold one place of each inside the block."""
        waiter = _Waiter(rank, next(self._order), slots, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiter)
        self._grant()
        try:
            await waiter.granted
            yield
        finally:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self._used.subtract(key for key, _ in slots)
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
                heapq.heapify(self._waiting)
            self._grant()

    def _grant(self) -> None:
        held_back: list[_Waiter] = []
        while self._waiting:
            waiter = heapq.heappop(self._waiting)
            if waiter.granted.cancelled():
                continue
            if all(self._used[key] < limit for key, limit in waiter.slots):
                self._used.update(key for key, _ in waiter.slots)
                waiter.granted.set_result(None)
            else:
                held_back.append(waiter)
        self._waiting = held_back  # popped in order, so still a heap


class Rate:
    """The generic cell rate algorithm, as ``ratelimit.lua`` of inngest/inngest counts it."""

    def __init__(self) -> None:
        self._arrival: dict[str, float] = {}

    def wait(self, key: str, *, limit: int, period: float, burst: int, now: float) -> float:
        """Seconds until one more is allowed; 0 when it is allowed now."""
        emission = period / max(limit, 1)
        arrival = max(now, self._arrival.get(key, now)) + emission
        return max(0.0, arrival - emission * (burst + 1) - now)

    def take(self, key: str, *, limit: int, period: float, now: float) -> None:
        """Count one."""
        self._arrival[key] = max(now, self._arrival.get(key, now)) + period / max(limit, 1)


class Seen:
    """Remembers keys for a day."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, key: str, now: float) -> bool:
        """Remember the key; False when it is remembered already."""
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
        if key in self._until:
            return False
        self._until[key] = now + DAY
        return True
