"""What all fake providers share: an aiohttp server that records requests, checks its key and fails on purpose."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass
class HttpFault:
    """An HTTP error in place of an answer."""

    status: int
    code: str = ""
    message: str = "from the fake provider"
    retry_after: float | None = None
    path: str = ""
    """Only for requests whose `METHOD path` contains this."""
    times: int = 1
    """How many requests fail; 0: until it is removed."""


class FakeProvider(ABC):
    """`await start()`, then `url`, and `await close()`."""

    url_path = ""
    """The part of `url` behind the port."""

    def __init__(self) -> None:
        self.url = ""
        self.faults: list[HttpFault] = []
        self.hangs = False
        """Whether requests are accepted and never answered."""
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def start(self, port: int = 0) -> None:
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 1024 * 1024)
        app.add_routes(self._routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}{self.url_path}"

    async def close(self) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def fail_next(self, status: int, code: str = "", **rest: Any) -> None:
        """Answer the next request(s) with an HTTP error: the fields of HttpFault."""
        self.faults.append(HttpFault(status, code, **rest))

    @abstractmethod
    def _routes(self) -> Sequence[web.AbstractRouteDef]: ...

    @abstractmethod
    async def _record(self, request: web.Request) -> None:
        """Remember a request, whatever it is answered with."""

    @abstractmethod
    def _has_key(self, request: web.Request) -> bool: ...

    @abstractmethod
    def _error(self, status: int, code: str, message: str) -> web.Response:
        """An error in the provider's own form."""

    @abstractmethod
    def _missing_key(self) -> web.Response: ...

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        await self._record(request)
        if self.hangs:
            await self._closing.wait()
        if (fault := self._fault_for(request)) is not None:
            return self._fault_response(fault)
        if not self._has_key(request):
            return self._missing_key()
        answer: web.StreamResponse = await handler(request)
        return answer

    def _fault_response(self, fault: HttpFault) -> web.Response:
        response = self._error(fault.status, fault.code, fault.message)
        if fault.retry_after is not None:
            response.headers["Retry-After"] = f"{fault.retry_after:g}"
        return response

    def _fault_for(self, request: web.Request) -> HttpFault | None:
        for fault in self.faults:
            if fault.path in f"{request.method} {request.path}":
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
        return None


def drop_connection(request: web.Request) -> web.Response:
    """The response is lost on its way."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
