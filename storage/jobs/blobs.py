"""Blobs: bytes from a step that the provider does not keep, stored until they are delivered."""

from uuid import UUID

from storage.pool import Executor

_PUT = """
INSERT INTO blobs (job_id, name, content) VALUES ($1, $2, $3)
ON CONFLICT (job_id, name) DO UPDATE SET content = EXCLUDED.content"""
_GET = "SELECT content FROM blobs WHERE job_id = $1 AND name = $2"
_DELETE_OLD = "DELETE FROM blobs WHERE created_at < now() - make_interval(days => $1)"


async def put_blob(db: Executor, job_id: UUID, name: str, content: bytes) -> None:
    """Store a blob, replacing the job's blob of the same name."""
    await db.execute(_PUT, job_id, name, content)


async def get_blob(db: Executor, job_id: UUID, name: str) -> bytes | None:
    """The bytes, or None if they were never stored or have been deleted."""
    content: bytes | None = await db.fetchval(_GET, job_id, name)
    return content


async def delete_old_blobs(db: Executor, *, days: int) -> None:
    """Delete blobs stored more than `days` ago."""
    await db.execute(_DELETE_OLD, days)
