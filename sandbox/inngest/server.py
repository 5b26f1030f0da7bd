"""The Inngest server as an object: start it, stop it, and make it fail on purpose."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler
from loguru import logger

from sandbox.inngest.api import build_app
from sandbox.inngest.clock import Clock
from sandbox.inngest.connect import gateway_routes
from sandbox.inngest.engine import Engine
from sandbox.inngest.keys import ServerKeys
from sandbox.inngest.status_page import DISCLAIMER

_HOST: Final = "127.0.0.1"
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


class _Port:
    """A port of this machine, which keeps its number when it is closed and opened again."""

    def __init__(self) -> None:
        self.number = 0
        self._runner: web.AppRunner | None = None

    async def open(self, app: web.Application) -> None:
        """Serve an application, unless the port is open; 0 takes a free one. Raises OSError when it is taken."""
        if self._runner is not None:
            return
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, _HOST, self.number, reuse_address=True).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self.number = runner, int(runner.addresses[0][1])

    async def close(self) -> None:
        """Close the port and cut its connections."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


class InngestServer:
    """An Inngest dev server in memory, for development and tests only."""

    def __init__(
        self, app_urls: Sequence[str] = (), *, clock: Clock | None = None, keys: ServerKeys | None = None
    ) -> None:
        """Configure the server; it runs after ``start``.

        Args:
            app_urls: Serve URLs of apps, which are asked for their functions repeatedly until ``close``.
            clock: How long retries, sleeps and the like take.
            keys: Makes it a production server, which signs its calls and requires the keys in requests.
        """
        self._app_urls = tuple(app_urls)
        self._clock = clock or Clock()
        self._keys = keys
        self._engine: Engine | None = None
        self._api, self._gateway = _Port(), _Port()
        self._fault = Fault.NONE

    @property
    def port(self) -> int:
        """The port of its API; ``close_ports`` and ``close`` do not change it."""
        return self._api.number

    @property
    def url(self) -> str:
        """The address of its API without a slash at the end."""
        return f"http://{_HOST}:{self.port}"

    @property
    def engine(self) -> Engine:
        """Apps, functions and runs, for tests to inspect.

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
            self._engine.limiter.paused = fault is Fault.DEAD_EXECUTOR

    async def start(self, port: int = 0, *, connect_port: int = 0) -> None:
        """Start without any apps and runs.

        Args:
            port: The port of the API; 0 takes a free one.
            connect_port: The port of the Connect gateway; 0 takes the one it had before, or else a free one.

        Raises:
            OSError: When a port is taken.
        """
        self._api.number, self._gateway.number = port, connect_port or self._gateway.number
        engine = self._engine = Engine(self._clock, self._keys)
        engine.limiter.paused = self._fault is Fault.DEAD_EXECUTOR
        try:
            await self.open_ports()
        except OSError:
            await self.close()
            raise
        for url in self._app_urls:
            engine.tasks.spawn(engine.keep_synced(url), f"sync {url}")
        logger.warning(
            "{} It listens on port {} for Connect and on {}", DISCLAIMER, self._gateway.number, self.url
        )

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
        await self._api.close()

    async def open_ports(self) -> None:
        """Open the ports again after ``close_ports``; raises OSError when one is taken."""
        app = build_app(self.engine)
        app.middlewares.insert(0, self._inject_fault)
        await self._api.open(app)
        await self.open_gateway_port()

    async def close_gateway_port(self) -> None:
        """Close the Connect gateway's port and cut its connections; the API stays open."""
        await self._gateway.close()

    async def open_gateway_port(self) -> None:
        """Open the Connect gateway's port again after ``close_gateway_port``; raises OSError when it is taken."""
        app = web.Application()
        app.add_routes(gateway_routes(self.engine.gateway))
        await self._gateway.open(app)
        self.engine.gateway.port = self._gateway.number

    @web.middleware
    async def _inject_fault(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._fault is Fault.HANG:
            await asyncio.Event().wait()
        if self._fault is Fault.ERROR:
            return web.json_response({"error": "internal server error", "status": 500}, status=500)
        return await handler(request)
