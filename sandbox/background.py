"""Background tasks with one owner, which logs their failures and ends them together."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger


class BackgroundTasks:
    """A supervised set of tasks: each is kept until it ends, and its failure is logged.

    A task group would cancel all tasks when one of them fails; here the others continue.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a coroutine until it ends or the set is closed.

        Args:
            coroutine: The work. An exception in it is logged and affects no other task.
            name: Names the task in the log.

        Returns:
            The task, which the caller may cancel.
        """
        task = asyncio.create_task(coroutine, name=name)  # noqa: TID251  # cancelled and awaited by close()
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("sandbox: background task {} failed", task.get_name())

    async def close(self) -> None:
        """Cancel all tasks and wait until they have ended; the calling task is left out."""
        current = asyncio.current_task()
        while others := [task for task in self._tasks if task is not current]:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
