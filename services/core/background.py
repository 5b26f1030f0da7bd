"""Background tasks: all of them are held here, named, and drained at shutdown."""

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

    A cancellation is lost where cleanup on its way fails, as on a connection to a database that has just died: the
    error raised there replaces it, and a loop that survives it would never end. So the tasks are
    cancelled again, a few times. Whatever still runs then is left alone, as the process is about to end.

    Args:
        tasks: The tasks to cancel; those that are done already are ignored.
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
    """A supervised group of tasks: one that fails is logged once and takes no other down."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a coroutine that ends by itself.

        Args:
            work: The coroutine.
            name: What the log calls it.

        Returns:
            Its task, which the group holds until it is done.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def run_forever(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run work that has no end. If it fails, the failure is logged and the work is restarted.

        Args:
            work: Called at every start.
            name: What the log calls it.
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
        """Call `work` again and again: the one mechanism for periodic passes over the database.

        An unavailable database is waited out and logged once until it is back. Any other failure is logged with its
        traceback; the next call is made on schedule.

        Args:
            work: One pass.
            name: What the log calls it.
            seconds: From the end of one pass to the beginning of the next.
            wakeup: When set, the next pass begins at once; it is cleared before each pass.
        """
        self.spawn(self._repeat(work, name, seconds, wakeup), name)

    async def drain(self, seconds: float) -> None:
        """Let the tasks end by themselves, then cancel what is left and wait for it.

        Args:
            seconds: How long they may take; 0 cancels at once.
        """
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        await cancel_all(tasks)

    async def _restart_forever(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - a bug must not silently end what keeps orders moving
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
            except Exception as error:  # noqa: BLE001 - one failed pass must not end the ones to come
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
