"""When which chore was done, so that each is done once for each time it is due."""

from datetime import datetime

from storage.pool import Executor

# A slot is taken by the first who comes; again once a claim has run out with the work not done.
_CLAIM = """
INSERT INTO chores (id, slot, plan, claimed_until) VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT (id, slot) DO UPDATE SET plan = EXCLUDED.plan, claimed_until = EXCLUDED.claimed_until
    WHERE chores.done_at IS NULL AND chores.claimed_until <= now()
RETURNING true"""
_DONE = "UPDATE chores SET done_at = now() WHERE id = $1 AND slot = $2"
_RELEASE = "UPDATE chores SET claimed_until = now() WHERE id = $1 AND slot = $2 AND done_at IS NULL"
_IS_DONE = "SELECT true FROM chores WHERE id = $1 AND slot = $2 AND done_at IS NOT NULL"

# A chore that was never seen begins with its next slot: a first start is not late for anything.
_REGISTER = """
INSERT INTO chores (id, slot, plan, claimed_until, done_at)
SELECT $1, $2, 'B', now(), now() WHERE NOT EXISTS (SELECT FROM chores WHERE id = $1)
ON CONFLICT DO NOTHING"""


async def claim_task(db: Executor, task_id: str, scheduled_for: datetime, plan: str, *, seconds: float) -> bool:
    """Take what is due for `seconds`. False when it is done, or another is at it."""
    return bool(await db.fetchval(_CLAIM, task_id, scheduled_for, plan, seconds))


async def finish_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    await db.execute(_DONE, task_id, scheduled_for)


async def release_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    """Let another try at once."""
    await db.execute(_RELEASE, task_id, scheduled_for)


async def is_task_done(db: Executor, task_id: str, scheduled_for: datetime) -> bool:
    return bool(await db.fetchval(_IS_DONE, task_id, scheduled_for))


async def register_task(db: Executor, task_id: str, scheduled_for: datetime) -> None:
    await db.execute(_REGISTER, task_id, scheduled_for)
