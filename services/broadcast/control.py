"""An admin's control of a broadcast: compose a draft, start, pause, resume, stop, edit and delete.

A change that makes a broadcast run is committed together with the internal job that does the work. Callers of
`start`, `resume`, `edit` and `delete` must wake the outbox publisher afterwards.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from asyncpg import UniqueViolationError

from services.broadcast.content import Audience, Content, build_audience_filter, fallback_version
from services.broadcast.job import enqueue_run
from services.core.errors import InvalidRequest
from storage.messaging import broadcasts
from storage.messaging.broadcast_recipients import add_recipients, start_edit
from storage.messaging.broadcasts import Broadcast, Task
from storage.pool import Connection, Executor, Pool


async def find_broadcast(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    """Return the broadcast with this id, or None."""
    return await broadcasts.get_broadcast(db, broadcast_id)


async def find_draft(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    """Return the broadcast with this id if it is a draft, otherwise None."""
    broadcast = await broadcasts.get_broadcast(db, broadcast_id)
    return broadcast if broadcast is not None and broadcast.state == "draft" else None


async def create_draft(db: Executor, admin_id: int, bot_name: str) -> Broadcast:
    """Create an empty draft.

    Args:
        db: The database.
        admin_id: The admin who composes the broadcast and sees its progress.
        bot_name: The bot that will send it to its users.
    """
    return await broadcasts.add_broadcast(db, uuid4(), admin_id, bot_name)


async def set_version(db: Executor, draft: Broadcast, key: str, content: Content) -> Broadcast | None:
    """Set or replace one version of a draft's content.

    Args:
        db: The database.
        draft: The draft. Its other versions are kept.
        key: The version's language, or `FOR_ALL`.
        content: The version's content.

    Returns:
        The changed draft, or None if it is no longer a draft.
    """
    versions = {**draft.content, key: content.model_dump(mode="json")}
    return await broadcasts.set_content(db, draft.id, versions)


async def set_audience(db: Executor, broadcast_id: UUID, audience: Audience) -> Broadcast | None:
    """Set a draft's audience. Returns None if it is no longer a draft."""
    return await broadcasts.set_audience(db, broadcast_id, audience.model_dump())


async def set_paid(db: Executor, broadcast_id: UUID, paid: bool) -> Broadcast | None:
    """Set whether a draft is sent at the paid rate. Returns None if it is no longer a draft."""
    return await broadcasts.set_paid(db, broadcast_id, paid)


async def start(
    db: Pool, broadcast: Broadcast, language: str, *, progress_message_id: int | None = None
) -> Broadcast | None:
    """Record the recipients of a draft and start sending.

    Args:
        db: The database.
        broadcast: The draft.
        language: The admin's language.
        progress_message_id: A message in the admin's chat that becomes the progress message.

    Returns:
        The running broadcast, or None if it was already started.

    Raises:
        InvalidRequest: Another broadcast is running, or there are no recipients.
    """
    async with _run_transaction(db) as connection:
        if progress_message_id is not None:  # before any progress can be shown
            await broadcasts.set_progress_message(connection, broadcast.id, progress_message_id)
        started = await broadcasts.start_broadcast(connection, broadcast.id)
        if started is None:
            return None
        audience_filter, versions = build_audience_filter(started), list(started.content)
        fallback = fallback_version(started.content)
        if not await add_recipients(connection, started.id, audience_filter, versions=versions, fallback=fallback):
            raise InvalidRequest("broadcast.nobody")
        await enqueue_run(connection, started, language)
    return started


async def pause(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    """Pause a broadcast, so that no more recipients are claimed. Returns None if it is not running."""
    return await broadcasts.pause_broadcast(db, broadcast_id)


async def stop(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    """Stop a broadcast for good. Returns None if it is neither running nor paused."""
    return await broadcasts.stop_broadcast(db, broadcast_id)


async def resume(db: Pool, broadcast: Broadcast, language: str) -> Broadcast | None:
    """Resume a paused broadcast, in any process.

    Args:
        db: The database.
        broadcast: The broadcast.
        language: The admin's language.

    Returns:
        The running broadcast, or None if it is not paused.

    Raises:
        InvalidRequest: Another broadcast is running.
    """
    async with _run_transaction(db) as connection:
        resumed = await broadcasts.resume_broadcast(connection, broadcast.id)
        if resumed is not None:
            await enqueue_run(connection, resumed, language)
    return resumed


async def edit(db: Pool, broadcast: Broadcast, version: str, html: str, language: str) -> Broadcast | None:
    """Edit the text or caption of the messages that were sent.

    Args:
        db: The database.
        broadcast: A broadcast that is done or stopped.
        version: The key of the version to edit.
        html: The new text, as HTML.
        language: The admin's language.

    Returns:
        The running broadcast, or None if it was running, paused or a draft.

    Raises:
        InvalidRequest: Another broadcast is running, or nobody got this version.
    """
    return await _run_again(db, broadcast, "edit", {"version": version, "html": html}, language)


async def delete(db: Pool, broadcast: Broadcast, language: str) -> Broadcast | None:
    """Delete the messages that were sent, in all chats. For the arguments, result and errors, see `edit`."""
    return await _run_again(db, broadcast, "delete", {}, language)


async def _run_again(
    db: Pool, broadcast: Broadcast, task: Task, change: dict[str, Any], language: str
) -> Broadcast | None:
    async with _run_transaction(db) as connection:
        restarted = await broadcasts.restart_for_edit(connection, broadcast.id, task, change)
        if restarted is None:
            return None
        if not await start_edit(connection, broadcast.id, change.get("version", "")):
            raise InvalidRequest("broadcast.nobody_got_it")
        await enqueue_run(connection, restarted, language)
    return restarted


@asynccontextmanager
async def _run_transaction(db: Pool) -> AsyncIterator[Connection]:
    """Open a transaction that makes a broadcast run. Raises InvalidRequest if another one is running."""
    try:
        async with db.acquire() as connection, connection.transaction():
            yield connection
    except UniqueViolationError as error:
        raise InvalidRequest("broadcast.another_runs", detail=str(error)) from error
