"""A change that several tasks may wait for."""

import asyncio
import time
from collections.abc import Callable


class Condition:
    """Wakes all waiting tasks on each change; cheap when no task waits."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Wake all tasks that wait now."""
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109  (a timeout is a normal result here, no error)
        """Wait for the next ``notify``.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether the notification came in time.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            done, _ = await asyncio.wait((waiter,), timeout=timeout)
        finally:
            self._waiters.discard(waiter)
        return bool(done)

    async def wait_until(self, predicate: Callable[[], bool], seconds: float) -> bool:
        """Wait until a predicate holds, checking it after each notification.

        Args:
            predicate: What to wait for.
            seconds: How long to wait at most.

        Returns:
            Whether the predicate holds.
        """
        ends = time.monotonic() + seconds
        while not predicate():
            left = ends - time.monotonic()
            if left <= 0:
                return False
            await self.wait(left)
        return True
