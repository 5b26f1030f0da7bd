"""Starting, pausing, resuming and stopping a broadcast: the state, and the errand that does the work, together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncpg import UniqueViolationError

from services.broadcast.content import fallback_of, group_of
from services.broadcast.job import BROADCAST
from services.core.errors import Refused
from services.jobs.enqueue import launch
from storage.messaging.broadcast_recipients import add_recipients, begin_revision
from storage.messaging.broadcasts import Broadcast, Task, resume_broadcast, revise_broadcast, start_broadcast
from storage.pool import Connection, Pool


async def start(db: Pool, broadcast: Broadcast, language: str) -> Broadcast | None:
    """Write down everybody who gets it, and begin. None where it was begun already. Raises Refused."""
    async with _one_at_a_time(db) as connection:
        started = await start_broadcast(connection, broadcast.id)
        if started is None:
            return None
        group, versions = group_of(started), list(started.content)
        fallback = fallback_of(started.content)
        if not await add_recipients(connection, started.id, group, versions=versions, fallback=fallback):
            raise Refused("broadcast.nobody")
        await _launch(connection, started, language)
    return started


async def resume(db: Pool, broadcast: Broadcast, language: str) -> Broadcast | None:
    """Go on, in whichever process. None where it is not paused. Raises Refused."""
    async with _one_at_a_time(db) as connection:
        resumed = await resume_broadcast(connection, broadcast.id)
        if resumed is not None:
            await _launch(connection, resumed, language)
    return resumed


async def revise(
    db: Pool, broadcast: Broadcast, task: Task, change: dict[str, Any], language: str
) -> Broadcast | None:
    """Edit or delete what was sent. `change` holds an edit's `version` and `html`. None where it runs, or is still
    a draft. Raises Refused."""
    async with _one_at_a_time(db) as connection:
        revised = await revise_broadcast(connection, broadcast.id, task, change)
        if revised is None:
            return None
        if not await begin_revision(connection, broadcast.id, change.get("version", "")):
            raise Refused("broadcast.nobody_got_it")
        await _launch(connection, revised, language)
    return revised


async def _launch(connection: Connection, broadcast: Broadcast, language: str) -> None:
    await launch(
        connection,
        BROADCAST,
        f"{broadcast.id}:{broadcast.runs}",
        {"broadcast": str(broadcast.id), "runs": broadcast.runs},
        user_id=broadcast.admin_id,
        bot_name=broadcast.bot_name,
        language=language,
    )


@asynccontextmanager
async def _one_at_a_time(db: Pool) -> AsyncIterator[Connection]:
    """A transaction in which a second running broadcast is refused in words."""
    try:
        async with db.acquire() as connection, connection.transaction():
            yield connection
    except UniqueViolationError as error:
        raise Refused("broadcast.another_runs", detail=str(error)) from error
