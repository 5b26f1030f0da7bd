"""Inngest Connect: this process opens the line to Inngest and is called over it, so it needs no port and no URL.

The SDK's own connection does the work (https://www.inngest.com/docs/setup/connect): a WebSocket in a thread of
its own, with heartbeats and leases, and the functions on the loop of whoever started it. It needs
``inngest[connect]``. What is used of its inside is held by ``tests/contract/test_connect.py``.
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
_DISCONNECT_SECONDS = 2.0  # the SDK takes one


class Connection:
    """Keeps the functions of one client connected.

    The SDK's connection is for a process of its own: it takes SIGTERM and SIGINT for itself, gives up for good
    when Inngest's API is away for 20 s, and at the end waits up to two hours for what runs. This one leaves
    signals alone, begins anew, and ends in time.

    Args:
        client: Inngest client.
        functions: Functions to run.
        gateway_url: Where the gateway is, when the address that Inngest names cannot be reached from here.
        instance_id: This process's name among the app's workers. Defaults to the machine's.
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
        """Whether Inngest has our functions and a way to call them."""
        return self._worker is not None and self._worker.get_state() is ConnectionState.ACTIVE

    async def run(self) -> None:
        """Stay connected until close()."""
        last_error = ""
        while not self._closing:
            self._worker = self._create_worker()
            try:
                await self._worker.start()
            except Exception as error:  # noqa: BLE001  # the SDK raises whatever ended its connection
                if last_error != (last_error := f"{type(error).__name__}: {error}"):
                    logger.warning("Inngest cannot be connected to, and is tried again: {}", last_error)
            if not self._closing:
                await asyncio.sleep(_RETRY_SECONDS)

    async def close(self, seconds: float) -> None:
        """Take no more calls, let those under way end within that time, and hang up; run() ends too.

        Calls that take longer are cancelled. Inngest makes them again when their leases are over, wherever the
        app is connected then.
        """
        self._closing = True
        if (worker := self._worker) is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await worker.close(wait=True)
        except TimeoutError:
            calls = worker._execution_handler._pending_requests.get_all()  # noqa: SLF001  # no public way
            logger.warning("{} calls of Inngest did not end in {} s and are left to others", len(calls), seconds)
            for _, call in calls:  # they live in the SDK's thread
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
