"""Which scheduled task was done for which time, so that each is done once for each time it is due."""

from datetime import datetime

from storage.pool import Executor

# The first to come takes it; it can be taken again when a claim has expired and the task is not done.
_CLAIM = """
INSERT INTO scheduled_tasks (id, scheduled_for, plan, claimed_until)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT (id, scheduled_for) DO UPDATE SET plan = EXCLUDED.plan, claimed_until = EXCLUDED.claimed_until
    WHERE scheduled_tasks.done_at IS NULL AND scheduled_tasks.claimed_until <= now()
RETURNING true"""
_DONE = "UPDATE scheduled_tasks SET done_at = now() WHERE id = $1 AND scheduled_for = $2"
_RELEASE = """
UPDATE scheduled_tasks SET claimed_until = now() WHERE id = $1 AND scheduled_for = $2 AND done_at IS NULL"""
_IS_DONE = "SELECT true FROM scheduled_tasks WHERE id = $1 AND scheduled_for = $2 AND done_at IS NOT NULL"

# A task seen for the first time starts with the next time it is due: a first start is late for nothing.
_REGISTER = """
INSERT INTO scheduled_tasks (id, scheduled_for, plan, claimed_until, done_at)
SELECT $1, $2, 'B', now(), now() WHERE NOT EXISTS (SELECT FROM scheduled_tasks WHERE id = $1)
ON CONFLICT DO NOTHING"""


async def claim_task(db: Executor, task_id: str, scheduled_for: datetime, plan: str, *, seconds: float) -> bool:
    """Claim a task that is due, for `seconds`. False when it is done, or another process has claimed it."""
    return bool(await db.fetchval(_CLAIM, task_id, scheduled_for, plan, seconds))


async def finish_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    """Record that it is done for this time."""
    await db.execute(_DONE, task_id, scheduled_for)


async def release_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    """Let another process try at once."""
    await db.execute(_RELEASE, task_id, scheduled_for)


async def is_task_done(db: Executor, task_id: str, scheduled_for: datetime) -> bool:
    """Whether it is done for this time."""
    return bool(await db.fetchval(_IS_DONE, task_id, scheduled_for))


async def register_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    """Record a task that was never seen as done for `scheduled_for`, the last time it was due."""
    await db.execute(_REGISTER, task_id, scheduled_for)
