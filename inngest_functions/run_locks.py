"""Run locks: only one call at a time works on a job.

Inngest calls us once for each step of a run. If the connection breaks in the middle of a call (a proxy's timeout, for
example), Inngest calls again while the first call is still working. The lease cannot tell the two apart, because both
belong to the same run.
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

from storage.pool import DATABASE_UNAVAILABLE, Pool
from storage.run_locks import try_lock_run, unlock_run

_POLL_SECONDS = 0.25
_MAX_ATTEMPTS = 200
"""50 s of polling, less than the usual timeout of a proxy."""
_RETRY_AFTER = timedelta(seconds=10)


class RunLocks:
    """Locks the jobs that calls in this process work on.

    The locks are PostgreSQL advisory locks, all held by one connection, so they hold across processes.

    Args:
        db: The pool that the connection is taken from.
    """

    def __init__(self, db: Pool) -> None:
        self._db = db
        self._held: set[UUID] = set()
        self._connection: PoolConnectionProxy[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def exclusive(self, job_id: UUID) -> AsyncIterator[None]:
        """Hold the job's lock. Waits while another call holds it.

        Args:
            job_id: The job.

        Raises:
            RetryAfterError: The lock did not become free within 50 s. Inngest calls again 10 s later.
        """
        for attempt in range(_MAX_ATTEMPTS):
            if await self._try_acquire(job_id):
                break
            if attempt == 0:
                logger.warning("second call from Inngest waits for the first", job=job_id)
            await asyncio.sleep(_POLL_SECONDS)
        else:
            raise inngest.RetryAfterError(f"job {job_id} is locked by another call", _RETRY_AFTER, quiet=True)
        try:
            yield
        finally:
            await asyncio.shield(self._release(job_id))

    async def close(self) -> None:
        """Release all locks by closing the connection that holds them."""
        await self._drop_connection()

    async def _try_acquire(self, job_id: UUID) -> bool:
        if job_id in self._held:
            return False
        self._held.add(job_id)
        acquired = False
        try:
            async with self._lock:
                try:
                    acquired = await try_lock_run(await self._open_connection(), job_id)
                except BaseException:
                    await self._drop_connection()  # it is unknown whether the lock was taken
                    raise
        finally:
            if not acquired:
                self._held.discard(job_id)
        return acquired

    async def _release(self, job_id: UUID) -> None:
        async with self._lock:
            try:
                if self._connection is not None:
                    await unlock_run(self._connection, job_id)
            except DATABASE_UNAVAILABLE as error:
                logger.warning("run lock released by closing the connection", job=job_id, error=error)
                await self._drop_connection()
            finally:
                self._held.discard(job_id)

    async def _open_connection(self) -> "PoolConnectionProxy[asyncpg.Record]":
        if self._connection is not None and self._connection.is_closed():
            await self._drop_connection()
        if self._connection is None:
            self._connection = await self._db.acquire()
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
            await self._db.release(connection)
