"""This process's single connection for PostgreSQL notifications (LISTEN/NOTIFY)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import asyncpg
from loguru import logger

from storage.pool import DATABASE_UNAVAILABLE, Connection, Pool

OnPayload = Callable[[str], object]
"""Called with a notification's payload; it must not block."""
OnConnect = Callable[[], Awaitable[None]]
"""Called after each (re)connect, to catch up on notifications that were missed in between."""

_RECONNECT_SECONDS: Final = 1.0


class Listener:
    """Passes notifications to the subscribers of their channel, and reconnects if the connection is lost.

    Args:
        db: The pool. One connection is taken from it for as long as the listener runs.
    """

    def __init__(self, db: Pool) -> None:
        self._db = db
        self._subscribers: dict[str, list[OnPayload]] = {}
        self._on_connect: list[OnConnect] = []

    def subscribe(self, channel: str, on_payload: OnPayload, *, on_connect: OnConnect | None = None) -> None:
        """Subscribe to a channel. Call this before `run`.

        Args:
            channel: The channel's name in PostgreSQL.
            on_payload: Called for each notification.
            on_connect: Called after each (re)connect, before any notification is passed on.
        """
        self._subscribers.setdefault(channel, []).append(on_payload)
        if on_connect is not None:
            self._on_connect.append(on_connect)

    async def run(self) -> None:
        """Listen, until cancelled."""
        while True:
            try:
                async with self._db.acquire() as connection:
                    await self._listen_on(connection)
            except (*DATABASE_UNAVAILABLE, asyncpg.PostgresError) as error:
                logger.warning("not listening, database unavailable", error=error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_on(self, connection: Connection) -> None:
        lost = asyncio.Event()

        def on_lost(*_: object) -> None:
            lost.set()

        def on_notification(_connection: object, _pid: int, channel: str, payload: object) -> None:
            for on_payload in self._subscribers[channel]:
                on_payload(str(payload))

        connection.add_termination_listener(on_lost)
        for channel in self._subscribers:
            await connection.add_listener(channel, on_notification)
        try:
            for on_connect in self._on_connect:
                await on_connect()
            await lost.wait()
        finally:
            with suppress(*DATABASE_UNAVAILABLE):  # must not hide the original error
                connection.remove_termination_listener(on_lost)
                for channel in self._subscribers:
                    await connection.remove_listener(channel, on_notification)
