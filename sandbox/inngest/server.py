"""The Inngest server as an object: start it, stop it, and make it fail on purpose."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final

from aiohttp import web
from loguru import logger

from sandbox.inngest.api.routes import build_app
from sandbox.inngest.api.status_page import DISCLAIMER
from sandbox.inngest.api.sync import keep_synced, sync_app
from sandbox.inngest.clock import Clock
from sandbox.inngest.connect.endpoints import build_gateway_app
from sandbox.inngest.engine.engine import Engine
from sandbox.inngest.keys import ServerKeys

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_POLL_SECONDS: Final = 5.0
_SHUTDOWN_SECONDS: Final = 0.01  # for responses in progress when the port closes; aiohttp takes 0 for "no limit"


class Fault(StrEnum):
    """Ways in which the server can fail.

    For a closed port use ``InngestServer.close_ports``, for a killed process ``InngestServer.close``.
    """

    NONE = "none"
    HANG = "hang"
    """Connections are accepted, but requests are never answered."""
    ERROR = "error"
    """Every request is answered with 500."""
    DEAD_EXECUTOR = "dead_executor"
    """Events are accepted, but no function is called until the fault is removed; then the waiting runs continue."""


class InngestServer:
    """An Inngest dev server in memory, for development and tests only."""

    def __init__(
        self,
        app_urls: Sequence[str] = (),
        *,
        clock: Clock | None = None,
        poll_interval: float = _POLL_SECONDS,
        keys: ServerKeys | None = None,
    ) -> None:
        """Configure the server; it runs after ``start``.

        Args:
            app_urls: Serve URLs of apps, which are asked for their functions repeatedly until ``close``.
            clock: How long retries, sleeps and the like take.
            poll_interval: Seconds between two syncs of an app.
            keys: Makes it a production server, which signs its calls and requires the keys in requests.
        """
        self._app_urls = tuple(app_urls)
        self._clock = clock or Clock()
        self._poll_interval = poll_interval
        self._keys = keys
        self._engine: Engine | None = None
        self._runner: web.AppRunner | None = None
        self._gateway_runner: web.AppRunner | None = None
        self._host, self._port, self._connect_port = "127.0.0.1", 0, 0
        self._fault = Fault.NONE

    @property
    def url(self) -> str:
        """Its address without a slash at the end; ``close_ports`` and ``close`` do not change it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def connect_port(self) -> int:
        """The port of its Connect gateway."""
        return self._connect_port

    @property
    def engine(self) -> Engine:
        """Apps, functions, events and runs, for tests to inspect.

        Raises:
            RuntimeError: Before ``start`` and after ``close``.
        """
        if self._engine is None:
            raise RuntimeError("the Inngest stand-in is not started")
        return self._engine

    @property
    def fault(self) -> Fault:
        """How it fails now; may be set at any time."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        if self._engine is not None:
            self._apply_fault(self._engine)

    async def start(self, port: int = 0, host: str = "127.0.0.1", *, connect_port: int = 0) -> None:
        """Start without any apps, events and runs.

        Args:
            port: The port of the API; 0 takes a free one.
            host: The address to listen on.
            connect_port: The port of the Connect gateway; 0 takes the one it had before, or else a free one.

        Raises:
            OSError: When a port is taken.
        """
        self._host, self._port = host, port
        self._connect_port = connect_port or self._connect_port
        engine = Engine(self._clock, self._keys)
        self._apply_fault(engine)
        self._engine = engine
        try:
            await self.open_ports()
        except OSError:
            await self.close_ports()
            self._engine = None
            raise
        for url in self._app_urls:
            engine.tasks.spawn(keep_synced(engine, url, self._poll_interval), f"sync {url}")
        logger.warning("{} It listens on port {} for Connect and on {}", DISCLAIMER, self._connect_port, self.url)

    async def close(self) -> None:
        """Stop at once and lose everything, as when the process is killed.

        Connections are cut and running calls are dropped. ``start`` with the same port starts it again, empty.
        """
        await self.close_ports()
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.close()

    async def close_ports(self) -> None:
        """Close the ports and cut all connections, but keep running what is in memory."""
        await self.close_gateway_port()
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def close_gateway_port(self) -> None:
        """Close the Connect gateway's port and cut its connections; the API stays open."""
        if self._gateway_runner is not None:
            runner, self._gateway_runner = self._gateway_runner, None
            await runner.cleanup()

    async def open_ports(self) -> None:
        """Open the ports again after ``close_ports``; raises OSError when one is taken."""
        if self._runner is None:
            app = build_app(self.engine)
            app.middlewares.insert(0, self._inject_fault)
            self._runner, self._port = await self._listen(app, self._port)
        await self.open_gateway_port()

    async def open_gateway_port(self) -> None:
        """Open the Connect gateway's port again after ``close_gateway_port``; raises OSError when it is taken."""
        if self._gateway_runner is None:
            app = build_gateway_app(self.engine.gateway)
            self._gateway_runner, self._connect_port = await self._listen(app, self._connect_port)
            self.engine.gateway.port = self._connect_port

    async def _listen(self, app: web.Application, port: int) -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, port, reuse_address=True).start()
        except OSError:
            await runner.cleanup()
            raise
        return runner, int(runner.addresses[0][1])

    async def sync(self, url: str) -> None:
        """Ask the app at a serve URL for its functions once.

        Raises:
            SyncError: When the app cannot be reached or refuses.
        """
        await sync_app(self.engine, url)

    def _apply_fault(self, engine: Engine) -> None:
        if self._fault is Fault.DEAD_EXECUTOR:
            engine.executor_running.clear()
        else:
            engine.executor_running.set()

    @web.middleware
    async def _inject_fault(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if self._fault is Fault.HANG:
            await asyncio.Event().wait()
        if self._fault is Fault.ERROR:
            return web.json_response({"error": "internal server error", "status": 500}, status=500)
        return await handler(request)
