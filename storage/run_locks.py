"""Which calls of a run are under way: locks that live as long as the connection they were taken on.

A process that dies lets go of them at once, unlike of a lease:
https://www.postgresql.org/docs/18/explicit-locking.html#ADVISORY-LOCKS
"""

from uuid import UUID

from storage.pool import Connection

_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"


async def try_lock_run(connection: Connection, job_id: UUID) -> bool:
    """False while another connection's call works on the job. On the same connection it is always true."""
    return bool(await connection.fetchval(_TRY_LOCK, str(job_id)))


async def unlock_run(connection: Connection, job_id: UUID) -> None:
    """Let others begin."""
    await connection.execute(_UNLOCK, str(job_id))
