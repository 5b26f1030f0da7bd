"""Run locks: advisory locks that last until they are released or their connection ends.

Unlike leases, they are released at once if the process dies:
https://www.postgresql.org/docs/18/explicit-locking.html#ADVISORY-LOCKS
"""

from uuid import UUID

from storage.pool import Connection

_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"


async def try_lock_run(connection: Connection, job_id: UUID) -> bool:
    """Lock the job. False while another connection holds the lock; always True on the connection that holds it."""
    return bool(await connection.fetchval(_TRY_LOCK, str(job_id)))


async def unlock_run(connection: Connection, job_id: UUID) -> None:
    """Release the lock that this connection holds."""
    await connection.execute(_UNLOCK, str(job_id))
