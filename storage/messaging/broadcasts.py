"""Broadcasts: their content, audience and state. The recipients are in broadcast_recipients.py."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from storage.pool import Connection, Executor

BroadcastState = Literal["draft", "running", "paused", "stopped", "done"]
Task = Literal["send", "edit", "delete"]

_ADD = "INSERT INTO broadcasts (id, admin_id, bot_name) VALUES ($1, $2, $3) RETURNING *"
_GET = "SELECT * FROM broadcasts WHERE id = $1"
_LATEST = (
    "SELECT * FROM broadcasts WHERE state <> 'draft' ORDER BY state = 'running' DESC, created_at DESC LIMIT 1"
)
_SET_CONTENT = "UPDATE broadcasts SET content = $2 WHERE id = $1 AND state = 'draft' RETURNING *"
_SET_AUDIENCE = "UPDATE broadcasts SET audience = $2 WHERE id = $1 AND state = 'draft' RETURNING *"
_SET_PAID = "UPDATE broadcasts SET paid = $2 WHERE id = $1 AND state = 'draft' RETURNING *"
_SET_PROGRESS_MESSAGE = "UPDATE broadcasts SET progress_message_id = $2 WHERE id = $1"

# Each is one conditional statement: of two attempts, only one gets the row. `run_count` is part of the order key of
# the internal job that does the work.
_START = """
UPDATE broadcasts SET state = 'running', run_count = run_count + 1, started_at = now()
WHERE id = $1 AND state = 'draft' RETURNING *"""
_RESTART_FOR_EDIT = """
UPDATE broadcasts SET state = 'running', task = $2, change = $3, run_count = run_count + 1, ended_at = NULL
WHERE id = $1 AND state IN ('stopped', 'done') RETURNING *"""
_PAUSE = "UPDATE broadcasts SET state = 'paused' WHERE id = $1 AND state = 'running' RETURNING *"
_RESUME = """
UPDATE broadcasts SET state = 'running', run_count = run_count + 1
WHERE id = $1 AND state = 'paused' RETURNING *"""
_STOP = """
UPDATE broadcasts SET state = 'stopped', ended_at = now()
WHERE id = $1 AND state IN ('running', 'paused') RETURNING *"""
_CONTINUE = """
UPDATE broadcasts SET run_count = run_count + 1
WHERE id = $1 AND run_count = $2 AND state = 'running' RETURNING *"""

_CLAIM = """
UPDATE broadcasts SET worker_id = $3 WHERE id = $1 AND run_count = $2 AND state = 'running' RETURNING *"""
_SET_THROTTLED = """
UPDATE broadcasts SET throttled_until = greatest(throttled_until, now() + make_interval(secs => $2))
WHERE id = $1"""
_FINISH = """
UPDATE broadcasts SET state = 'done', ended_at = now()
WHERE id = $1 AND worker_id = $2 AND state = 'running'
  AND NOT EXISTS (SELECT FROM broadcast_recipients
                  WHERE broadcast_id = $1 AND state IN ('waiting', 'sending') AND broadcasts.task = 'send')
  AND NOT EXISTS (SELECT FROM broadcast_recipients
                  WHERE broadcast_id = $1 AND edit_state = 'waiting' AND broadcasts.task <> 'send')
RETURNING true"""


@dataclass(frozen=True)
class Broadcast:
    """A broadcast.

    Attributes:
        bot_name: The bot that sends it.
        content: The versions by language, or under `*` for all users.
        audience: An `Audience` (services/broadcast/content.py).
        change: For an edit, the version and its new text.
        paid: Whether Stars are paid for a higher rate.
        run_count: How many times it was started or resumed.
        worker_id: The step that is sending.
        throttled_until: The end of a pause that Telegram asked for.
    """

    id: UUID
    admin_id: int
    bot_name: str
    state: BroadcastState
    task: Task
    content: dict[str, Any]
    audience: dict[str, Any]
    change: dict[str, Any]
    paid: bool
    run_count: int
    worker_id: UUID | None
    throttled_until: datetime | None
    progress_message_id: int | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


_FIELDS = tuple(Broadcast.__dataclass_fields__)


def _broadcast(row: asyncpg.Record | None) -> Broadcast | None:
    return None if row is None else Broadcast(**{name: row[name] for name in _FIELDS})


async def add_broadcast(db: Executor, broadcast_id: UUID, admin_id: int, bot_name: str) -> Broadcast:
    """Create a draft."""
    added = _broadcast(await db.fetchrow(_ADD, broadcast_id, admin_id, bot_name))
    assert added is not None  # noqa: S101 - RETURNING
    return added


async def get_broadcast(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    """The broadcast with this id, if there is one."""
    return _broadcast(await db.fetchrow(_GET, broadcast_id))


async def latest_broadcast(db: Executor) -> Broadcast | None:
    """The running broadcast; if there is none, the newest that was started."""
    return _broadcast(await db.fetchrow(_LATEST))


async def set_content(db: Executor, broadcast_id: UUID, content: dict[str, Any]) -> Broadcast | None:
    """Change a draft's content. None if it is no longer a draft."""
    return _broadcast(await db.fetchrow(_SET_CONTENT, broadcast_id, content))


async def set_audience(db: Executor, broadcast_id: UUID, audience: dict[str, Any]) -> Broadcast | None:
    """Change a draft's audience. None if it is no longer a draft."""
    return _broadcast(await db.fetchrow(_SET_AUDIENCE, broadcast_id, audience))


async def set_paid(db: Executor, broadcast_id: UUID, paid: bool) -> Broadcast | None:
    """Change whether Stars are paid for a higher rate. None if it is no longer a draft."""
    return _broadcast(await db.fetchrow(_SET_PAID, broadcast_id, paid))


async def set_progress_message(db: Executor, broadcast_id: UUID, message_id: int) -> None:
    """Record the message in the admin's chat that shows the progress."""
    await db.execute(_SET_PROGRESS_MESSAGE, broadcast_id, message_id)


async def start_broadcast(connection: Connection, broadcast_id: UUID) -> Broadcast | None:
    """Change a draft to running. None if it is not a draft.

    Must run in the transaction that adds the recipients and the internal job.

    Raises:
        asyncpg.UniqueViolationError: Another broadcast is running.
    """
    return _broadcast(await connection.fetchrow(_START, broadcast_id))


async def restart_for_edit(
    connection: Connection, broadcast_id: UUID, task: Task, change: dict[str, Any]
) -> Broadcast | None:
    """Run an ended broadcast again, to edit or delete the messages it sent. None if it has not ended.

    Must run in the transaction that adds the internal job.

    Raises:
        asyncpg.UniqueViolationError: Another broadcast is running.
    """
    return _broadcast(await connection.fetchrow(_RESTART_FOR_EDIT, broadcast_id, task, change))


async def resume_broadcast(connection: Connection, broadcast_id: UUID) -> Broadcast | None:
    """Change from paused to running. None if it is not paused.

    Must run in the transaction that adds the internal job.

    Raises:
        asyncpg.UniqueViolationError: Another broadcast is running.
    """
    return _broadcast(await connection.fetchrow(_RESUME, broadcast_id))


async def continue_broadcast(connection: Connection, broadcast_id: UUID, run_count: int) -> Broadcast | None:
    """Start the next run of a broadcast whose internal job has used up its steps.

    None if the broadcast is not running, or `run_count` is not its latest run.
    """
    return _broadcast(await connection.fetchrow(_CONTINUE, broadcast_id, run_count))


async def pause_broadcast(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    """Change from running to paused. None if it is not running."""
    return _broadcast(await db.fetchrow(_PAUSE, broadcast_id))


async def stop_broadcast(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    """Stop it for good. None if it is neither running nor paused."""
    return _broadcast(await db.fetchrow(_STOP, broadcast_id))


async def claim_broadcast(db: Executor, broadcast_id: UUID, run_count: int, worker_id: UUID) -> Broadcast | None:
    """Become the step that sends: an earlier one can claim no more recipients. None if this run is over."""
    return _broadcast(await db.fetchrow(_CLAIM, broadcast_id, run_count, worker_id))


async def set_throttled(db: Executor, broadcast_id: UUID, seconds: float) -> None:
    """Record that Telegram asked for a pause of `seconds`, so that later steps observe it too."""
    await db.execute(_SET_THROTTLED, broadcast_id, seconds)


async def finish_broadcast(db: Executor, broadcast_id: UUID, worker_id: UUID) -> bool:
    """Change to done. False if recipients are still waiting or another step is sending."""
    return bool(await db.fetchval(_FINISH, broadcast_id, worker_id))
