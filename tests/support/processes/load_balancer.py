"""A load balancer in front of the processes, as in production: each request goes to the next one that listens."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tests.support.environments.environment import Environment

SECRET = "behind-the-load-balancer"
_HOP_BY_HOP_HEADERS = {"Host", "Content-Length", "Transfer-Encoding"}


class LoadBalancer:
    """Takes turns between `targets`; can drop all connections halfway, as a proxy does on a timeout."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.url = ""
        self.connections: dict[asyncio.Transport, str] = {}
        """The requests that wait for their responses, and their paths."""

    async def start(self) -> None:
        self._round_robin = itertools.count()
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        await self._session.close()
        await self._runner.cleanup()

    def drop_connections(self) -> None:
        """The clients get no response; the targets do not notice."""
        for line in list(self.connections):
            line.abort()

    async def _forward(self, request: web.Request) -> web.Response:
        line = request.transport
        assert line
        self.connections[line] = request.path
        try:
            return await self._proxy(request)
        finally:
            self.connections.pop(line, None)

    async def _proxy(self, request: web.Request) -> web.Response:
        first, body = next(self._round_robin), await request.read()
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP_HEADERS}
        for offset in range(len(self.targets)):
            url = f"{self.targets[(first + offset) % len(self.targets)]}{request.path_qs}"
            try:
                async with self._session.request(request.method, url, data=body, headers=headers) as answer:
                    kept = {
                        name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP_HEADERS
                    }
                    return web.Response(status=answer.status, body=await answer.read(), headers=kept)
            except aiohttp.ClientConnectorError:
                continue  # nothing listens there: try the other one
            except aiohttp.ClientError:
                break  # it died with the request: how far it got is unknown
        return web.Response(status=502)


@asynccontextmanager
async def open_load_balancer(environment: Environment, **settings: str) -> AsyncIterator[LoadBalancer]:
    """In front of all bots started in this environment; Telegram and Replicate call them through it."""
    load_balancer = LoadBalancer()
    await load_balancer.start()
    environment.start_replicate_webhooks()
    environment.settings |= {
        "TELEGRAM_MODE": "webhook",
        "TELEGRAM_WEBHOOK_SECRET": SECRET,
        "PUBLIC_URL": load_balancer.url,
        **settings,
    }
    try:
        yield load_balancer
    finally:
        for bot in environment.bots:
            await bot.kill()
        await load_balancer.close()
