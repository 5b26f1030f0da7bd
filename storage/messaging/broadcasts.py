"""Broadcasts: what is sent to whom, and how far it is. Their recipients are broadcast_recipients.py's."""

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

# Each is one conditional statement: of two that try, one gets the row. `runs` keys the errand that does the work.
_START = """
UPDATE broadcasts SET state = 'running', runs = runs + 1, started_at = now()
WHERE id = $1 AND state = 'draft' RETURNING *"""
_RESTART_FOR_EDIT = """
UPDATE broadcasts SET state = 'running', task = $2, change = $3, runs = runs + 1, ended_at = NULL
WHERE id = $1 AND state IN ('stopped', 'done') RETURNING *"""
_PAUSE = "UPDATE broadcasts SET state = 'paused' WHERE id = $1 AND state = 'running' RETURNING *"
_RESUME = """
UPDATE broadcasts SET state = 'running', runs = runs + 1 WHERE id = $1 AND state = 'paused' RETURNING *"""
_STOP = """
UPDATE broadcasts SET state = 'stopped', ended_at = now()
WHERE id = $1 AND state IN ('running', 'paused') RETURNING *"""
_CONTINUE = """
UPDATE broadcasts SET runs = runs + 1 WHERE id = $1 AND runs = $2 AND state = 'running' RETURNING *"""

_CLAIM = "UPDATE broadcasts SET runner = $3 WHERE id = $1 AND runs = $2 AND state = 'running' RETURNING *"
_SET_THROTTLED = """
UPDATE broadcasts SET wait_until = greatest(wait_until, now() + make_interval(secs => $2)) WHERE id = $1"""
_FINISH = """
UPDATE broadcasts SET state = 'done', ended_at = now()
WHERE id = $1 AND runner = $2 AND state = 'running'
  AND NOT EXISTS (SELECT FROM broadcast_recipients
                  WHERE broadcast_id = $1 AND state IN ('waiting', 'sending') AND broadcasts.task = 'send')
  AND NOT EXISTS (SELECT FROM broadcast_recipients
                  WHERE broadcast_id = $1 AND revision = 'waiting' AND broadcasts.task <> 'send')
RETURNING true"""


@dataclass(frozen=True)
class Broadcast:
    """`content` is by language, or under `*` for all. `runs` is how often it was started or resumed, `runner` the
    step at work, `wait_until` the end of a pause that Telegram asked for."""

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
    """A new draft."""
    added = _broadcast(await db.fetchrow(_ADD, broadcast_id, admin_id, bot_name))
    assert added is not None  # noqa: S101 - RETURNING
    return added


async def get_broadcast(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    return _broadcast(await db.fetchrow(_GET, broadcast_id))


async def latest_broadcast(db: Executor) -> Broadcast | None:
    """The one that runs, or else the newest that was ever started."""
    return _broadcast(await db.fetchrow(_LATEST))


async def set_content(db: Executor, broadcast_id: UUID, content: dict[str, Any]) -> Broadcast | None:
    """None where it is no draft any more, as with all that change a draft."""
    return _broadcast(await db.fetchrow(_SET_CONTENT, broadcast_id, content))


async def set_audience(db: Executor, broadcast_id: UUID, audience: dict[str, Any]) -> Broadcast | None:
    return _broadcast(await db.fetchrow(_SET_AUDIENCE, broadcast_id, audience))


async def set_paid(db: Executor, broadcast_id: UUID, paid: bool) -> Broadcast | None:
    return _broadcast(await db.fetchrow(_SET_PAID, broadcast_id, paid))


async def set_progress_message(db: Executor, broadcast_id: UUID, message_id: int) -> None:
    await db.execute(_SET_PROGRESS_MESSAGE, broadcast_id, message_id)


async def start_broadcast(connection: Connection, broadcast_id: UUID) -> Broadcast | None:
    """From draft to running; None where it is no draft. Raises UniqueViolationError where another one runs.

    Belongs into one transaction with its recipients and its errand, as do the two that follow.
    """
    return _broadcast(await connection.fetchrow(_START, broadcast_id))


async def restart_for_edit(
    connection: Connection, broadcast_id: UUID, task: Task, change: dict[str, Any]
) -> Broadcast | None:
    """Run again, over what was sent. Raises UniqueViolationError where another one runs."""
    return _broadcast(await connection.fetchrow(_RESTART_FOR_EDIT, broadcast_id, task, change))


async def resume_broadcast(connection: Connection, broadcast_id: UUID) -> Broadcast | None:
    """From paused to running. Raises UniqueViolationError where another one runs."""
    return _broadcast(await connection.fetchrow(_RESUME, broadcast_id))


async def continue_broadcast(connection: Connection, broadcast_id: UUID, run_count: int) -> Broadcast | None:
    """Count the next run of a broadcast whose errand has had its steps. None where that is not the last one."""
    return _broadcast(await connection.fetchrow(_CONTINUE, broadcast_id, run_count))


async def pause_broadcast(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    return _broadcast(await db.fetchrow(_PAUSE, broadcast_id))


async def stop_broadcast(db: Executor, broadcast_id: UUID) -> Broadcast | None:
    return _broadcast(await db.fetchrow(_STOP, broadcast_id))


async def claim_broadcast(db: Executor, broadcast_id: UUID, run_count: int, worker_id: UUID) -> Broadcast | None:
    """Begin to work on it: who did so before finds nothing to claim any more. None when this run is over."""
    return _broadcast(await db.fetchrow(_CLAIM, broadcast_id, run_count, worker_id))


async def set_throttled(db: Executor, broadcast_id: UUID, seconds: float) -> None:
    """Telegram asked for a pause; whoever sends next keeps it too."""
    await db.execute(_SET_THROTTLED, broadcast_id, seconds)


async def finish_broadcast(db: Executor, broadcast_id: UUID, worker_id: UUID) -> bool:
    """To done, once nobody waits any more. False when somebody does, or the work is another's."""
    return bool(await db.fetchval(_FINISH, broadcast_id, worker_id))
