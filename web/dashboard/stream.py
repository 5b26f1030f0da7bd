"""The live page's stream of server-sent events: what has changed since this browser was last told."""

import asyncio
import time
from contextlib import suppress

from aiohttp import ClientConnectionResetError, web
from aiohttp_sse import EventSourceResponse, sse_response

from services.admin.dashboard_auth import Session
from web.dashboard.access import Access
from web.dashboard.live_snapshot import Board, Sections

_EVERY_SECONDS = 1.0
_RETRY_MS = 2000


class Stream:
    def __init__(self, access: Access, board: Board) -> None:
        self._access = access
        self._board = board
        self._stopping = asyncio.Event()

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Send what changes, for as long as the session lasts and somebody reads."""
        session = self._access.admit(request)
        response: web.StreamResponse = web.Response()
        with suppress(ClientConnectionResetError, TimeoutError):  # the page was closed
            async with sse_response(request) as events:
                response = events
                await self._tell(events, session)
        return response

    async def _tell(self, events: EventSourceResponse, session: Session) -> None:
        told: Sections = {}
        await events.send("", event="hello", retry=_RETRY_MS)
        while events.is_connected() and not self._stopping.is_set() and time.time() < session.expires_at:
            sections = await self._board.latest()
            for name, data in sections.items():
                if told.get(name) != data:
                    await events.send(data, event=name)
            told = sections
            await self._pause()

    async def stop(self, app: web.Application) -> None:
        """Let every stream end, so that a stop of the process does not wait for those who look."""
        self._stopping.set()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), _EVERY_SECONDS)
