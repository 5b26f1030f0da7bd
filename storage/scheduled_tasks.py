"""Records which scheduled task was done for which time, so that each is done once for each time it is due."""

from datetime import datetime

from storage.pool import Executor

# The first process to claim the task gets it. It can be claimed again if the claim has expired and it is not done.
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

# A task that is registered for the first time counts as done for the last time it was due, so it first runs next time.
_REGISTER = """
INSERT INTO scheduled_tasks (id, scheduled_for, plan, claimed_until, done_at)
SELECT $1, $2, 'B', now(), now() WHERE NOT EXISTS (SELECT FROM scheduled_tasks WHERE id = $1)
ON CONFLICT DO NOTHING"""


async def claim_task(db: Executor, task_id: str, scheduled_for: datetime, plan: str, *, seconds: float) -> bool:
    """Claim a due task for `seconds`. False if it is done or another process has claimed it."""
    return bool(await db.fetchval(_CLAIM, task_id, scheduled_for, plan, seconds))


async def finish_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    """Record that the task is done for this time."""
    await db.execute(_DONE, task_id, scheduled_for)


async def release_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    """Give up the claim, so that another process can try at once."""
    await db.execute(_RELEASE, task_id, scheduled_for)


async def is_task_done(db: Executor, task_id: str, scheduled_for: datetime) -> bool:
    """Whether the task is done for this time."""
    return bool(await db.fetchval(_IS_DONE, task_id, scheduled_for))


async def register_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    """Record a new task as done for `scheduled_for`, the last time it was due. Does nothing for a known task."""
    await db.execute(_REGISTER, task_id, scheduled_for)
