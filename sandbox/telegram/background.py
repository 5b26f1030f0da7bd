"""Tasks of the stand that outlive a request: webhook lanes and callers that hang."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger


class BackgroundTasks:
    """A set of tasks, cancelled and awaited together when the stand closes."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``work`` until it ends or the stand closes; an error in it is logged."""
        # A task group would cancel every lane when one fails; this set is the supervised owner.
        task = asyncio.create_task(coroutine, name=name)  # noqa: TID251
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("sandbox telegram: {} failed", task.get_name())

    async def close(self) -> None:
        """Cancel all tasks and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
