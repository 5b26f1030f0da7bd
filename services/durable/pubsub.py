"""Signals: what wakes a job that waits for something outside, in whichever process it waits.

Given through Postgres (LISTEN/NOTIFY), because a provider's webhook may reach another process than the one that
waits. A signal that is missed costs time, never a result: a wait ends by itself too.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from storage.pool import Executor
from storage.settings import notify

CHANNEL = "signals"


class PubSub:
    def __init__(self) -> None:
        self._subscribers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def wait(self, topic: str, seconds: float) -> bool:
        """Until the signal is given, or that long; whether it was given."""
        with self.subscribe(topic) as event:
            try:
                async with asyncio.timeout(seconds):
                    await event.wait()
            except TimeoutError:
                return False
            return True

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[asyncio.Event]:
        """An event that is set when the signal is given while the body runs."""
        event = asyncio.Event()
        self._subscribers[topic].add(event)
        try:
            yield event
        finally:
            self._subscribers[topic].discard(event)
            if not self._subscribers[topic]:
                del self._subscribers[topic]

    def dispatch(self, topic: str) -> None:
        """Wake who waits for it in this process."""
        for event in self._subscribers.get(topic, ()):
            event.set()


async def publish(db: Executor, topic: str) -> None:
    """Wake who waits for it, in every process."""
    await notify(db, CHANNEL, topic)
