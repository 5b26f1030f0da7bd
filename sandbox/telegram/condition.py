"""A change that many may wait for."""

import asyncio
import time
from collections.abc import Callable


class Condition:
    """Wakes everyone who waits; costs next to nothing while nobody does."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Wake all who wait now."""
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109  (a wait that ends without news is no error)
        """Wait for the next ``notify`` for at most ``timeout`` seconds; whether it came."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            done, _ = await asyncio.wait((waiter,), timeout=timeout)
        finally:
            self._waiters.discard(waiter)
        return bool(done)

    async def wait_until(self, predicate: Callable[[], bool], seconds: float) -> bool:
        """Wait until ``true()`` holds, for at most ``seconds``; whether it holds."""
        ends = time.monotonic() + seconds
        while not predicate():
            left = ends - time.monotonic()
            if left <= 0:
                return False
            await self.wait(left)
        return True
