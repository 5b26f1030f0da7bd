"""How many at once, how many in a while, and what came before."""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from sandbox.inngest.clock import Pace

DAY: Final = 86_400.0

Slot = tuple[str, int]
"""A concurrency key and how many calls may hold it."""


@dataclass(frozen=True, slots=True)
class Gate:
    """How often something may begin: ``limit`` in ``period`` seconds, and ``burst`` beside the first at once."""

    key: str
    limit: int
    period: float
    burst: int


@dataclass(order=True)
class _Waiter:
    rank: float
    order: int
    slots: tuple[Slot, ...] = field(compare=False)
    gate: "Gate | None" = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class Capacity:
    """Counts the calls under way by key. Lower ranks go first; a run that sleeps or waits holds nothing.

    Args:
        pace: By whose clock gates open.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._rates = Rate()
        self._opening: asyncio.TimerHandle | None = None
        self._used: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def hold(self, slots: tuple[Slot, ...], rank: float, gate: Gate | None = None) -> AsyncIterator[None]:
        """Wait until every key has room and the gate is open, and hold one place of each inside the block."""
        waiter = _Waiter(rank, next(self._order), slots, gate, asyncio.get_running_loop().create_future())
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
        closed: list[float] = []
        now = self._pace.now()
        while self._waiting:
            waiter = heapq.heappop(self._waiting)
            if waiter.granted.cancelled():
                continue
            wait = self._rates.wait_at(waiter.gate, now) if waiter.gate else 0.0
            if wait <= 0 and all(self._used[key] < limit for key, limit in waiter.slots):
                self._used.update(key for key, _ in waiter.slots)
                if waiter.gate:
                    self._rates.take_at(waiter.gate, now)
                waiter.granted.set_result(None)
            else:
                held_back.append(waiter)
                closed += [wait] if wait > 0 else []
        self._waiting = held_back  # popped in order, so still a heap
        self._grant_again(closed)

    def _grant_again(self, waits: list[float]) -> None:
        """When the first of the closed gates opens."""
        if self._opening is not None:
            self._opening.cancel()
        self._opening = None
        if waits:
            loop = asyncio.get_running_loop()
            self._opening = loop.call_later(min(waits) / self._pace.speed, self._grant)


class Rate:
    """The generic cell rate algorithm, as ``ratelimit.lua`` of inngest/inngest counts it."""

    def __init__(self) -> None:
        self._arrival: dict[str, float] = {}

    def wait(self, key: str, *, limit: int, period: float, burst: int, now: float) -> float:
        """Seconds until one more is allowed; 0 when it is allowed now."""
        ahead = max(0.0, self._arrival.get(key, now) - now)  # sums of floats would not be 0 for the first
        return max(0.0, ahead - burst * period / max(limit, 1))

    def take(self, key: str, *, limit: int, period: float, now: float) -> None:
        """Count one."""
        self._arrival[key] = max(now, self._arrival.get(key, now)) + period / max(limit, 1)

    def wait_at(self, gate: Gate, now: float) -> float:
        """Seconds until a gate opens; 0 when it is open."""
        return self.wait(gate.key, limit=gate.limit, period=gate.period, burst=gate.burst, now=now)

    def take_at(self, gate: Gate, now: float) -> None:
        """Count one through a gate."""
        self.take(gate.key, limit=gate.limit, period=gate.period, now=now)


class Seen:
    """Remembers keys for a day."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def holds(self, key: str, now: float) -> bool:
        """Whether the key is remembered."""
        return self._until.get(key, 0.0) > now

    def add(self, key: str, now: float) -> bool:
        """Remember the key; False when it is remembered already."""
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
        if key in self._until:
            return False
        self._until[key] = now + DAY
        return True
