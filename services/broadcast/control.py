"""Starting, pausing, resuming and stopping a broadcast: the state, and the errand that does the work, together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import UniqueViolationError

from services.broadcast.content import build_audience_filter, fallback_version
from services.broadcast.job import BROADCAST
from services.core.errors import InvalidRequest
from services.jobs.enqueue import enqueue
from storage.messaging.broadcast_recipients import add_recipients, start_edit
from storage.messaging.broadcasts import Broadcast, Task, restart_for_edit, resume_broadcast, start_broadcast
from storage.pool import Connection, Pool


async def start(db: Pool, broadcast: Broadcast, language: str) -> Broadcast | None:
    """Write down everybody who gets it, and begin. None where it was begun already. Raises Refused."""
    async with _single_broadcast_transaction(db) as connection:
        started = await start_broadcast(connection, broadcast.id)
        if started is None:
            return None
        audience_filter, versions = build_audience_filter(started), list(started.content)
        fallback = fallback_version(started.content)
        if not await add_recipients(connection, started.id, audience_filter, versions=versions, fallback=fallback):
            raise InvalidRequest("broadcast.nobody")
        await _enqueue(connection, started, language)
    return started


async def resume(db: Pool, broadcast: Broadcast, language: str) -> Broadcast | None:
    """Go on, in whichever process. None where it is not paused. Raises Refused."""
    async with _single_broadcast_transaction(db) as connection:
        resumed = await resume_broadcast(connection, broadcast.id)
        if resumed is not None:
            await _enqueue(connection, resumed, language)
    return resumed


async def edit_or_delete(
    db: Pool, broadcast: Broadcast, task: Task, change: dict[str, Any], language: str
) -> Broadcast | None:
    """Edit or delete what was sent. `change` holds an edit's `version` and `html`. None where it runs, or is still
    a draft. Raises Refused."""
    async with _single_broadcast_transaction(db) as connection:
        restarted = await restart_for_edit(connection, broadcast.id, task, change)
        if restarted is None:
            return None
        if not await start_edit(connection, broadcast.id, change.get("version", "")):
            raise InvalidRequest("broadcast.nobody_got_it")
        await _enqueue(connection, restarted, language)
    return restarted


async def _enqueue(connection: Connection, broadcast: Broadcast, language: str) -> None:
    await enqueue(
        connection,
        BROADCAST,
        f"{broadcast.id}:{broadcast.run_count}",
        {"broadcast": str(broadcast.id), "runs": broadcast.run_count},
        user_id=broadcast.admin_id,
        bot_name=broadcast.bot_name,
        language=language,
    )


@asynccontextmanager
async def _single_broadcast_transaction(db: Pool) -> AsyncIterator[Connection]:
    """A transaction in which a second running broadcast is refused in words."""
    try:
        async with db.acquire() as connection, connection.transaction():
            yield connection
    except UniqueViolationError as error:
        raise InvalidRequest("broadcast.another_runs", detail=str(error)) from error
