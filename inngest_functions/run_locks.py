"""One call at a time works on a job.

A run calls us once for each step. Where the line breaks in the middle of a call (a proxy's time limit, say),
Inngest calls again while we still work on the first one, and the lease cannot tell the two apart: both are the
same run's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import inngest
from asyncpg.pool import PoolConnectionProxy
from loguru import logger

from storage.pool import DATABASE_AWAY, Pool
from storage.run_locks import begin_call, end_call

_LOOK_EVERY = 0.25
_LOOKS = 200
"""50 s: less than what a proxy commonly waits for an answer."""
_AGAIN = timedelta(seconds=10)


class Calls:
    """The calls under way in this process; one connection to the database keeps the other processes out."""

    def __init__(self, db: Pool) -> None:
        self._db = db
        self._under_way: set[UUID] = set()
        self._line: PoolConnectionProxy[asyncpg.Record] | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def alone(self, job_id: UUID) -> AsyncIterator[None]:
        """Begin when no other call works on the job. Raises RetryAfterError when that takes too long."""
        for look in range(_LOOKS):
            if await self._begin(job_id):
                break
            if look == 0:
                logger.warning(
                    "job {}: Inngest calls again while its last call is at work; this one waits", job_id
                )
            await asyncio.sleep(_LOOK_EVERY)
        else:
            raise inngest.RetryAfterError(f"job {job_id} is at work", _AGAIN, quiet=True)
        try:
            yield
        finally:
            await asyncio.shield(self._end(job_id))

    async def close(self) -> None:
        """Give the connection back; what it had locked is free, and whoever waits for its answer waits no more."""
        await self._drop()

    async def _begin(self, job_id: UUID) -> bool:
        if job_id in self._under_way:
            return False
        self._under_way.add(job_id)
        begun = False
        try:
            async with self._turn:
                try:
                    begun = await begin_call(await self._open_line(), job_id)
                except BaseException:
                    await self._drop()  # whether the lock was taken is not known
                    raise
        finally:
            if not begun:
                self._under_way.discard(job_id)
        return begun

    async def _end(self, job_id: UUID) -> None:
        async with self._turn:
            try:
                if self._line is not None:
                    await end_call(self._line, job_id)
            except DATABASE_AWAY as error:
                logger.warning("job {}: the lock on its call goes with its connection: {}", job_id, error)
                await self._drop()
            finally:
                self._under_way.discard(job_id)

    async def _open_line(self) -> "PoolConnectionProxy[asyncpg.Record]":
        if self._line is not None and self._line.is_closed():
            await self._drop()
        if self._line is None:
            self._line = await self._db.acquire()
        return self._line

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.terminate()
            await self._db.release(line)
