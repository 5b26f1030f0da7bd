"""Inngest Connect: this process opens a WebSocket to Inngest and is called over it, so it needs no public URL.

The SDK's connection does the work (https://www.inngest.com/docs/setup/connect). It runs the WebSocket in its own
thread, with heartbeats and leases, and the functions in the caller's event loop. It needs `inngest[connect]`.
tests/contract/test_connect.py checks the SDK internals used here.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from inngest import Function, Inngest
from inngest.connect import ConnectionState
from inngest.connect._internal.connection import WorkerConnectionImpl
from loguru import logger

_RETRY_SECONDS = 1.0
_DISCONNECT_SECONDS = 2.0  # the SDK needs one second


class Connection:
    """Keeps the functions of one client connected.

    The SDK's connection is made for a process that does nothing else: it handles SIGTERM and SIGINT, gives up for good
    if Inngest's API is unavailable for 20 s, and waits up to two hours for running calls before it closes. This class
    does not handle signals, reconnects, and closes in time.

    Args:
        client: The Inngest client.
        functions: The functions to run.
        gateway_url: The URL of the gateway, if the one that Inngest announces cannot be reached from here.
        instance_id: The name of this process among the app's workers. Defaults to the host name.
    """

    def __init__(
        self,
        client: Inngest,
        functions: Sequence[Function[Any]],
        *,
        gateway_url: str | None = None,
        instance_id: str | None = None,
    ) -> None:
        self._app = (client, list(functions))
        self._gateway_url = gateway_url
        self._instance_id = instance_id
        self._worker: WorkerConnectionImpl | None = None
        self._closing = False

    @property
    def connected(self) -> bool:
        """Whether Inngest knows our functions and can call them."""
        return self._worker is not None and self._worker.get_state() is ConnectionState.ACTIVE

    async def run(self) -> None:
        """Stay connected until close() is called."""
        last_error = ""
        while not self._closing:
            self._worker = self._create_worker()
            try:
                await self._worker.start()
            except Exception as error:  # noqa: BLE001  # the SDK raises whatever ended its connection
                if last_error != (last_error := f"{type(error).__name__}: {error}"):
                    logger.warning("cannot connect to Inngest, retrying", seconds=_RETRY_SECONDS, error=last_error)
            if not self._closing:
                await asyncio.sleep(_RETRY_SECONDS)

    async def close(self, seconds: float) -> None:
        """Take no more calls, let running ones finish, and disconnect. `run` then returns.

        Calls that take too long are cancelled. When their leases expire, Inngest repeats them in another connected
        process.

        Args:
            seconds: How long to wait for running calls.
        """
        self._closing = True
        if (worker := self._worker) is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await worker.close(wait=True)
        except TimeoutError:
            calls = worker._execution_handler._pending_requests.get_all()  # noqa: SLF001  # no public way
            logger.warning("unfinished calls from Inngest cancelled", count=len(calls), seconds=seconds)
            for _, call in calls:  # they run in the SDK's thread
                call.get_loop().call_soon_threadsafe(call.cancel)
            with suppress(TimeoutError):
                async with asyncio.timeout(_DISCONNECT_SECONDS):
                    await worker.closed()

    def _create_worker(self) -> WorkerConnectionImpl:
        url = self._gateway_url
        return WorkerConnectionImpl(
            [self._app],
            instance_id=self._instance_id,
            rewrite_gateway_endpoint=None if url is None else lambda _: url,
            shutdown_signals=[],
        )
