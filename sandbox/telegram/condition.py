"""A change that several tasks may wait for."""

import asyncio
from collections.abc import Callable
from contextlib import suppress


class Condition:
    """Wakes all waiting tasks on each change. Unlike asyncio's, it is notified without a lock."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Wake all tasks that wait now."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_until(self, predicate: Callable[[], object], seconds: float) -> None:
        """Wait until a predicate holds, checking it after each notification, or for some seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not predicate():
                    await self._changed.wait()
