"""Background tasks with one owner, which ends them all."""

import asyncio
from collections.abc import Coroutine

from loguru import logger


class BackgroundTasks:
    """A supervised set: every task is held until it ends, its failure is logged, close() waits for all.

    A TaskGroup would end all runs when one of them fails; here a failure stays its own.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run the work in the background."""
        task = asyncio.create_task(coroutine)  # noqa: TID251  # held below, cancelled and awaited by close()
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("Inngest stand-in: a background task failed")

    async def close(self) -> None:
        """Cancel everything and wait until it is gone."""
        current = asyncio.current_task()
        while others := [task for task in self._tasks if task is not current]:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
