"""The stream of server-sent events for the live page: the sections that changed since they were last sent."""

import asyncio
import time
from contextlib import suppress
from typing import Final

from aiohttp import ClientConnectionResetError, web
from aiohttp_sse import EventSourceResponse, sse_response

from services.admin.dashboard_auth import Session
from web.dashboard.access import Access
from web.dashboard.live_snapshot import LiveSnapshot, Sections

INTERVAL_SECONDS: Final = 1.0
_RETRY_MS: Final = 2000


class Stream:
    """Serves the stream to any number of browsers.

    Args:
        access: Authenticates requests.
        snapshot: Collects the sections.
    """

    def __init__(self, access: Access, snapshot: LiveSnapshot) -> None:
        self._access = access
        self._snapshot = snapshot
        self._stopping = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events with the changes of the live page.

        Raises:
            AccessDenied: The request has no valid session.
        """
        session = self._access.authenticate(request)
        response: web.StreamResponse = web.Response()
        with suppress(ClientConnectionResetError, TimeoutError):  # the page was closed
            async with sse_response(request) as events:
                response = events
                await self._send_changes(events, session)
        return response

    async def close(self, app: web.Application) -> None:
        """End every stream, so that a shutdown does not wait for open pages."""
        self._stopping.set()

    async def _send_changes(self, events: EventSourceResponse, session: Session) -> None:
        sent: Sections = {}
        await events.send("", event="hello", retry=_RETRY_MS)
        while events.is_connected() and not self._stopping.is_set() and time.time() < session.expires_at:
            sections = await self._snapshot.latest()
            for name, data in sections.items():
                if sent.get(name) != data:
                    await events.send(data, event=name)
            sent = sections
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), INTERVAL_SECONDS)
