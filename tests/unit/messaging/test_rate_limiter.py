"""The rate limiter: as close to the limit as possible, and never over it, in simulated time."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest

from services.messaging import rate_limiter
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND, RateLimiter


class SimulatedClock:
    """A loop's clock that jumps to the end of each wait; `late` gives how many seconds late a wake-up is."""

    def __init__(self, late: Callable[[int], float] = lambda wake_up: 0.0) -> None:
        self.now = 1000.0
        self._late = late
        self._wake_ups = 0

    async def sleep(self, seconds: float) -> None:
        self._wake_ups += 1
        self.now += seconds + self._late(self._wake_ups)


@pytest.fixture
def use_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[SimulatedClock], SimulatedClock]:
    def use(clock: SimulatedClock) -> SimulatedClock:
        # A copy of asyncio, not the module itself: other tasks of this loop must not sleep in simulated time.
        simulated = {"sleep": clock.sleep, "get_running_loop": lambda: SimpleNamespace(time=lambda: clock.now)}
        monkeypatch.setattr(rate_limiter, "asyncio", SimpleNamespace(**{**vars(asyncio), **simulated}))
        return clock

    return use


async def acquire_times(limiter: RateLimiter, clock: SimulatedClock, count: int) -> list[float]:
    times = []
    for _ in range(count):
        await limiter.acquire()
        times.append(clock.now)
    return times


def max_per_second(times: list[float]) -> int:
    return max(sum(started_at <= each < started_at + 1.0 for each in times) for started_at in times)


LATENESS = {
    "never late": lambda n: 0.0,
    "always a little late": lambda n: 0.003,
    "sometimes very late": lambda n: 0.09 if n % 40 == 0 else 0.001,
}


@pytest.mark.parametrize("limit", [MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND])
@pytest.mark.parametrize("late", LATENESS.values(), ids=LATENESS.keys())
async def test_acquire_rate_is_close_to_the_limit_and_never_over_it(
    use_clock: Callable[[SimulatedClock], SimulatedClock], limit: int, late: Callable[[int], float]
) -> None:
    clock = use_clock(SimulatedClock(late))
    times = await acquire_times(RateLimiter(limit), clock, 3 * limit)
    assert max_per_second(times) <= limit
    rate = (len(times) - 1) / (times[-1] - times[0])
    assert rate >= 0.97 * limit


async def test_acquire_times_are_even(use_clock: Callable[[SimulatedClock], SimulatedClock]) -> None:
    clock = use_clock(SimulatedClock())
    times = await acquire_times(RateLimiter(30), clock, 60)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) < 1.1 / 29.4, "no bursts"


async def test_pause_delays_every_acquire(use_clock: Callable[[SimulatedClock], SimulatedClock]) -> None:
    clock = use_clock(SimulatedClock())
    limiter = RateLimiter(30)
    await limiter.acquire()
    limiter.pause(7)
    limiter.pause(3)
    assert limiter.pause_remaining == 7
    before = clock.now
    await limiter.acquire()
    assert clock.now - before == pytest.approx(7)
    assert limiter.pause_remaining == 0


async def test_consume_does_not_wait_but_delays_later_acquires(
    use_clock: Callable[[SimulatedClock], SimulatedClock],
) -> None:
    clock = use_clock(SimulatedClock())
    limiter = RateLimiter(30)
    await acquire_times(limiter, clock, 30)
    before = clock.now
    for _ in range(10):
        limiter.consume()
    assert clock.now == before, "an answer to a user does not wait"
    await limiter.acquire()
    assert clock.now - before >= 10 / 30, "the broadcast waits instead"


async def test_acquire_counts_every_message_of_an_album(
    use_clock: Callable[[SimulatedClock], SimulatedClock],
) -> None:
    clock = use_clock(SimulatedClock())
    limiter, started_at = RateLimiter(30), clock.now
    for _ in range(12):
        await limiter.acquire(5)
    assert clock.now - started_at >= 1.5, "sixty messages"


async def test_acquire_does_not_wait_for_calls_to_end() -> None:
    """On the real clock: a hundred calls of 0.3 s each take little more time than the rate limit requires."""
    limiter, loop = RateLimiter(1000), asyncio.get_running_loop()
    started_at = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            await limiter.acquire()
            group.create_task(asyncio.sleep(0.3))
    assert loop.time() - started_at < 2
