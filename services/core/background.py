"""Background tasks: named, kept alive by a reference, and drained at shutdown."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any, Final

from loguru import logger

from storage.pool import DATABASE_UNAVAILABLE

_RESTART_DELAY_SECONDS: Final = 1.0
_MAX_CANCEL_ATTEMPTS: Final = 5
_CANCEL_TIMEOUT_SECONDS: Final = 1.0


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended.

    A cancellation is lost if a cleanup handler raises, for example on a connection to a database that has just died:
    the handler's error replaces the CancelledError, and a loop that catches errors goes on. So tasks are cancelled up
    to five times, one second apart. Tasks still running after that are logged and abandoned, as the process is ending.

    Args:
        tasks: The tasks to cancel. Finished tasks are ignored.
    """
    for _ in range(_MAX_CANCEL_ATTEMPTS):
        running = [task for task in tasks if not task.done()]
        if not running:
            return
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_TIMEOUT_SECONDS)
    if names := [task.get_name() for task in tasks if not task.done()]:
        logger.error("tasks did not end", task=names)


class BackgroundTasks:
    """A supervised group of tasks. A failed task is logged once and does not affect the others."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a coroutine that ends by itself.

        Args:
            work: The coroutine.
            name: The task's name in the log.

        Returns:
            The task. The group keeps a reference until it is done.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def run_forever(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run work that never ends. If it fails, log the error and restart it after a second.

        Args:
            work: Called for each start.
            name: The task's name in the log.
        """
        self.spawn(self._restart_forever(work, name), name)

    def run_periodically(
        self,
        work: Callable[[], Awaitable[object]],
        name: str,
        *,
        seconds: float,
        wakeup: asyncio.Event | None = None,
    ) -> None:
        """Call `work` periodically. All periodic passes over the database use this.

        An unavailable database is logged once until it is available again. Any other failure is logged with its
        traceback. Either way the next call is made on schedule.

        Args:
            work: One pass.
            name: The task's name in the log.
            seconds: The time from the end of one pass to the start of the next.
            wakeup: An event that starts the next pass at once. It is cleared before each pass.
        """
        self.spawn(self._repeat(work, name, seconds, wakeup), name)

    async def drain(self, seconds: float) -> None:
        """Wait for the tasks to end, then cancel the rest and wait for those.

        Args:
            seconds: How long to wait before cancelling; 0 cancels at once.
        """
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        await cancel_all(tasks)

    async def _restart_forever(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - a bug must not stop the tasks that keep orders moving
                logger.opt(exception=error).error("background task failed, restarting", task=name)
            await asyncio.sleep(_RESTART_DELAY_SECONDS)

    async def _repeat(
        self, work: Callable[[], Awaitable[object]], name: str, seconds: float, wakeup: asyncio.Event | None
    ) -> None:
        unavailable = False
        while True:
            if wakeup is not None:
                wakeup.clear()
            try:
                await work()
                unavailable = False
            except DATABASE_UNAVAILABLE as error:
                if not unavailable:
                    logger.warning("periodic task waits, database unavailable", task=name, error=error)
                unavailable = True
            except Exception as error:  # noqa: BLE001 - a failed pass must not prevent the next
                logger.opt(exception=error).error("periodic task failed, retrying", task=name, seconds=seconds)
            if wakeup is None:
                await asyncio.sleep(seconds)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(wakeup.wait(), seconds)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("background task failed", task=task.get_name())
