"""Wake-ups for jobs that wait for an external event, in any process.

They go through PostgreSQL (LISTEN/NOTIFY), because a provider's webhook may arrive at a different process from the
one that waits. A missed wake-up only costs time: every wait has a time limit.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from storage.pool import Executor
from storage.settings import notify

CHANNEL: Final = "pubsub"


class PubSub:
    """The waits of this process, by topic. A Listener calls `dispatch` with the topics that any process publishes."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def wait(self, topic: str, seconds: float) -> bool:
        """Wait until the topic is published.

        Args:
            topic: The topic, such as a prediction's id.
            seconds: The time limit.

        Returns:
            Whether the topic was published within the time limit.
        """
        with self.subscribe(topic) as event:
            try:
                async with asyncio.timeout(seconds):
                    await event.wait()
            except TimeoutError:
                return False
            return True

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set if the topic is published while the body runs."""
        event = asyncio.Event()
        self._subscribers[topic].add(event)
        try:
            yield event
        finally:
            self._subscribers[topic].discard(event)
            if not self._subscribers[topic]:
                del self._subscribers[topic]

    def dispatch(self, topic: str) -> None:
        """Wake all waits for the topic in this process."""
        for event in self._subscribers.get(topic, ()):
            event.set()


async def publish(db: Executor, topic: str) -> None:
    """Wake all waits for the topic, in every process."""
    await notify(db, CHANNEL, topic)
