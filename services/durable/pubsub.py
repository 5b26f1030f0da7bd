"""Wake-ups for jobs that wait for something external, in whichever process they wait.

They go through PostgreSQL (LISTEN/NOTIFY), because a provider's webhook may reach another process than the one
that waits. A wake-up that is missed costs time, never a result: every wait ends by itself.
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
    """The waits of this process, by topic. A Listener passes what other processes publish on to `dispatch`."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    async def wait(self, topic: str, seconds: float) -> bool:
        """Wait until the topic is published.

        Args:
            topic: What to wait for, such as a prediction's id.
            seconds: The longest wait.

        Returns:
            Whether it was published.
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
        """An event that is set when the topic is published while the body runs."""
        event = asyncio.Event()
        self._subscribers[topic].add(event)
        try:
            yield event
        finally:
            self._subscribers[topic].discard(event)
            if not self._subscribers[topic]:
                del self._subscribers[topic]

    def dispatch(self, topic: str) -> None:
        """Wake every wait for the topic in this process."""
        for event in self._subscribers.get(topic, ()):
            event.set()


async def publish(db: Executor, topic: str) -> None:
    """Wake every wait for the topic, in all processes."""
    await notify(db, CHANNEL, topic)
