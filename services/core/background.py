"""Work that goes on behind the answers. All of it is held here, named, and drained at shutdown."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any

from loguru import logger

_RESTART_DELAY_SECONDS = 1.0
_MAX_CANCEL_ATTEMPTS = 5
_CANCEL_TIMEOUT_SECONDS = 1.0


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until they have ended.

    A cancellation gets lost where the cleaning up on its way fails, as on a connection to a database that has just
    died: what is raised there takes its place, and a loop that goes on after that goes on for ever. So it is made
    again; whatever still runs after some seconds is left alone, as the process is about to end.
    """
    for _ in range(_MAX_CANCEL_ATTEMPTS):
        running = [task for task in tasks if not task.done()]
        if not running:
            return
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_CANCEL_TIMEOUT_SECONDS)
    if names := [task.get_name() for task in tasks if not task.done()]:
        logger.error("these do not end: {}", ", ".join(names))


class BackgroundTasks:
    """A supervised group: a task that fails is logged once and takes no other down."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def run_forever(self, function: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run work that has no end; should it fail, log it and begin it again."""
        self.spawn(self._restart_forever(function, name), name)

    async def _restart_forever(self, function: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        while True:
            try:
                await function()
            except Exception as error:  # noqa: BLE001 - a bug must not silently end what keeps orders moving
                logger.opt(exception=error).error("{} failed and begins again", name)
            await asyncio.sleep(_RESTART_DELAY_SECONDS)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("background task {} failed", task.get_name())

    async def drain(self, seconds: float) -> None:
        """Let the tasks end by themselves for that long, then cancel what is left and wait for it."""
        tasks = set(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        await cancel_all(tasks)
