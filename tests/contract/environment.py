"""A small aiohttp app with Inngest functions behind our adapter, and a client of a server's API."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import inngest
from aiohttp import web

from inngest_functions.serve import serve
from sandbox.inngest import ServerKeys
from tests.contract.flow_functions import flow_functions
from tests.contract.functions import CallLog, all_functions

TIMEOUT = 30.0
END_STATES = {"Completed", "Failed", "Cancelled"}


class ContractEnvironment:
    """An app that registers at a server, and methods to send events and inspect runs."""

    def __init__(self, server: str, *, speed: float = 1.0, keys: ServerKeys | None = None) -> None:
        """`speed` is how many times faster time passes at the server; with `keys` it is a production server."""
        self.server = server
        self.speed = speed
        self.keys = keys
        self.call_log = CallLog()
        self.client = inngest.Inngest(
            app_id=f"contract-{uuid.uuid4().hex[:8]}",
            api_base_url=server,
            event_api_base_url=server,
            event_key=keys.event_keys[0] if keys else None,
            signing_key=keys.signing_key if keys else None,
            is_production=keys is not None,
        )
        self.functions = [*all_functions(self.client, self.call_log), *flow_functions(self.client, self.call_log)]
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._request_count = 0
        self.port = 0

    @property
    def app_url(self) -> str:
        """Where the functions are served."""
        return f"http://127.0.0.1:{self.port}/api/inngest"

    @property
    def session(self) -> aiohttp.ClientSession:
        """An HTTP client."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def start_app(self) -> None:
        """Start the app, at the same port as before, and let it register."""

        @web.middleware
        async def measure(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if request.method == "POST":
                self.call_log.bodies.append(request.content_length or 0)
            return await handler(request)

        app = web.Application(middlewares=[measure])
        serve(app, self.client, self.functions)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = int(self._runner.addresses[0][1])
        async with self.session.put(self.app_url) as response:
            assert response.status == 200, await response.text()
            assert (await response.json())["ok"], await response.text()

    async def kill_app(self) -> None:
        """Stop the app at once: port closed, connections cut."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def close(self) -> None:
        """Stop everything."""
        await self.kill_app()
        if self._session is not None:
            await self._session.close()

    async def send(self, name: str, *, event_id: str = "", **data: Any) -> str:
        """Send an event and return the server's id for it."""
        event = inngest.Event(name=f"contract/{name}", id=event_id, data=data)
        return (await self.client.send(event))[0]

    async def runs(self, event_id: str) -> list[dict[str, Any]]:
        """Return the runs that an event started.

        Each is requested separately: in the real server's list of an event's runs, one that sleeps or waits
        already has the status "Completed".
        """
        found = await self.get(f"/v1/events/{event_id}/runs")
        return [await self.get(f"/v1/runs/{run['run_id']}") for run in found]

    async def get(self, path: str) -> Any:
        """Return the data of a REST API answer."""
        self._request_count += 1  # the real server caches answers by URL for 15 s
        bearer = {"Authorization": f"Bearer {self.keys.signing_key}"} if self.keys else {}
        async with self.session.get(
            f"{self.server}{path}?request={self._request_count}", headers=bearer
        ) as response:
            return (await response.json(content_type=None))["data"]

    async def wait_for_run_end(self, event_id: str, *, seconds: float = TIMEOUT) -> dict[str, Any]:
        """Wait for the end of the one run that an event has started."""
        found: list[dict[str, Any]] = []

        async def over() -> bool:
            found[:] = await self.runs(event_id)
            return bool(found) and all(run["status"] in END_STATES and run["ended_at"] for run in found)

        await wait_until(over, seconds=seconds)
        assert len(found) == 1
        return found[0]


def new_job_id() -> str:
    """Return a name that no other test uses."""
    return uuid.uuid4().hex


async def wait_until(condition: Callable[[], Awaitable[bool]], *, seconds: float = TIMEOUT) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # polls a server
            await asyncio.sleep(0.02)
