"""Which calls of an Inngest run are in progress: locks that live as long as the connection they were taken on.

A process that dies releases them at once, unlike a lease:
https://www.postgresql.org/docs/18/explicit-locking.html#ADVISORY-LOCKS
"""

from uuid import UUID

from storage.pool import Connection

_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"


async def try_lock_run(connection: Connection, job_id: UUID) -> bool:
    """Lock the job. False while a call on another connection has it; on the same connection it is always True."""
    return bool(await connection.fetchval(_TRY_LOCK, str(job_id)))


async def unlock_run(connection: Connection, job_id: UUID) -> None:
    """Release the lock taken on this connection."""
    await connection.execute(_UNLOCK, str(job_id))
