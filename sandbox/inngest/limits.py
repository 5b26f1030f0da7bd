"""Concurrency limits and throttles: when a run's next call may start."""

import asyncio
import heapq
import itertools
from collections import Counter

from sandbox.inngest.clock import Clock
from sandbox.inngest.functions import evaluate
from sandbox.inngest.runs import Run

_Waiter = tuple[float, int, Run, dict[str, int], asyncio.Future[None]]
"""The run's rank, a number that makes the order unique, the run, its limits by key, and what ends the wait."""


class Limiter:
    """Counts running calls by key. Waiting calls of a lower rank go first; a run that sleeps counts nowhere."""

    def __init__(self, clock: Clock) -> None:
        """Start with no calls; throttles use ``clock``."""
        self._clock = clock
        self._paused = False
        self._running: Counter[str] = Counter()
        self._held_keys: dict[str, list[str]] = {}
        self._next_start: dict[str, float] = {}
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def paused(self) -> bool:
        """Whether no call may start at all; may be set at any time."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        self._grant_ready()

    async def acquire(self, run: Run) -> None:
        """Wait until a run's next call may start, and count it until ``release``.

        Args:
            run: Has no other call at the same time. The throttle of its function applies to its first call.
        """
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (run.rank, next(self._numbers), run, _get_limits(run), granted))
        self._grant_ready()
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():  # cancelled after it was granted
                self.release(run)
            raise

    def release(self, run: Run) -> None:
        """Count a run's call no longer, and let the next one start."""
        self._running.subtract(self._held_keys.pop(run.id))
        self._grant_ready()

    def _grant_ready(self) -> None:
        if self._paused:
            return
        waiting, self._waiting = self._waiting, []
        delays = []
        while waiting:
            waiter = heapq.heappop(waiting)
            _, _, run, limits, granted = waiter
            if granted.cancelled():
                continue
            delay = self._throttle_delay(run)
            if delay <= 0 and all(self._running[key] < limit for key, limit in limits.items()):
                self._running.update(limits.keys())
                self._held_keys[run.id] = list(limits)
                self._count_start(run)
                granted.set_result(None)
            else:
                self._waiting.append(waiter)  # popped in order, so still a heap
                delays += [delay] if delay > 0 else []
        if self._timer is not None:
            self._timer.cancel()
        if delays:  # try again when the first of the throttles allows another start
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(delays) / self._clock.speed, self._grant_ready)

    def _throttle_delay(self, run: Run) -> float:
        """Seconds until the run may start: the generic cell rate algorithm of ``acquire.lua``."""
        if (throttle := run.function.throttle) is None or run.started_at is not None:
            return 0.0
        now = self._clock.now()
        ahead = max(0.0, self._next_start.get(run.function.id, now) - now)
        return ahead - (throttle.limit + throttle.burst - 1) * throttle.period / throttle.limit

    def _count_start(self, run: Run) -> None:
        if (throttle := run.function.throttle) and run.started_at is None:
            due = max(self._clock.now(), self._next_start.get(run.function.id, 0.0))
            self._next_start[run.function.id] = due + throttle.period / throttle.limit


def _get_limits(run: Run) -> dict[str, int]:
    """How many calls may run at the same time, by the key under which a run's calls are counted."""
    function, event = run.function, run.event.payload()
    return {
        f"{function.id} {limit.key} {evaluate(limit.key, event)!r}" if limit.key else function.id: limit.limit
        for limit in function.concurrency
    }
