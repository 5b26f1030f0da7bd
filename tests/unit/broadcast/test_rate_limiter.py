"""The pace of a broadcast: as near to the limit as can be, and never over it. Time is the test's own."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest

from services.messaging import rate_limiter as pacing
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND, RateLimiter


class SimulatedClock:
    """A loop's clock that jumps to whatever is waited for; `late` says how late each wake-up comes."""

    def __init__(self, late: Callable[[int], float] = lambda wake_up: 0.0) -> None:
        self.now = 1000.0
        self._late = late
        self._wake_ups = 0

    async def sleep(self, seconds: float) -> None:
        self._wake_ups += 1
        self.now += seconds + self._late(self._wake_ups)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[SimulatedClock], SimulatedClock]:
    def use(clock: SimulatedClock) -> SimulatedClock:
        monkeypatch.setattr(RateLimiter, "_now", staticmethod(lambda: clock.now))
        # Not asyncio's own: others in this loop would wait in the test's time too, and never let go.
        monkeypatch.setattr(pacing, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": clock.sleep}))
        return clock

    return use


async def take(pacer: RateLimiter, clock: SimulatedClock, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        await pacer.acquire()
        taken.append(clock.now)
    return taken


def most_in_a_second(taken: list[float]) -> int:
    return max(sum(begin <= each < begin + 1.0 for each in taken) for begin in taken)


LATENESS = {
    "never late": lambda n: 0.0,
    "always a little late": lambda n: 0.003,
    "now and then very late": lambda n: 0.09 if n % 40 == 0 else 0.001,
}


@pytest.mark.parametrize("limit", [MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND])
@pytest.mark.parametrize("late", LATENESS.values(), ids=LATENESS.keys())
async def test_close_to_the_limit_and_never_over_it(
    at: Callable[[SimulatedClock], SimulatedClock], limit: int, late: Callable[[int], float]
) -> None:
    clock = at(SimulatedClock(late))
    taken = await take(RateLimiter(limit), clock, 3 * limit)
    assert most_in_a_second(taken) <= limit
    rate = (len(taken) - 1) / (taken[-1] - taken[0])
    assert rate >= 0.97 * limit


async def test_turns_come_evenly(at: Callable[[SimulatedClock], SimulatedClock]) -> None:
    clock = at(SimulatedClock())
    taken = await take(RateLimiter(30), clock, 60)
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert max(gaps) < 1.1 / 29.4, "no bursts"


async def test_a_pause_holds_every_turn(at: Callable[[SimulatedClock], SimulatedClock]) -> None:
    clock = at(SimulatedClock())
    pacer = RateLimiter(30)
    await pacer.acquire()
    pacer.pause(7)
    pacer.pause(3)
    assert pacer.pause_remaining == 7
    before = clock.now
    await pacer.acquire()
    assert clock.now - before == pytest.approx(7)
    assert pacer.pause_remaining == 0


async def test_answers_to_people_take_no_turn_but_their_room(
    at: Callable[[SimulatedClock], SimulatedClock],
) -> None:
    clock = at(SimulatedClock())
    pacer = RateLimiter(30)
    await take(pacer, clock, 30)
    before = clock.now
    for _ in range(10):
        pacer.consume()
    assert clock.now == before, "nobody waits to answer a person"
    await pacer.acquire()
    assert clock.now - before >= 10 / 30, "the broadcast makes room"


async def test_an_album_counts_all_its_messages(at: Callable[[SimulatedClock], SimulatedClock]) -> None:
    clock = at(SimulatedClock())
    pacer, begin = RateLimiter(30), clock.now
    for _ in range(12):
        await pacer.acquire(5)
    assert clock.now - begin >= 1.5, "sixty messages"


async def test_turns_do_not_wait_for_each_others_calls() -> None:
    """On the real clock: a hundred calls of half a second each take little more than the pace needs."""
    pacer, loop = RateLimiter(1000), asyncio.get_running_loop()
    begin = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            await pacer.acquire()
            group.create_task(asyncio.sleep(0.3))
    assert loop.time() - begin < 2
