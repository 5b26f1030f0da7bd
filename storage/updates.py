"""Which of Telegram's updates were handled: they come at least once, and their work is done once."""

from enum import Enum

from storage.pool import Executor

# An update whose handler died is claimed again once its claim has run out.
_CLAIM = """
WITH claimed AS (
    INSERT INTO updates (bot_id, update_id, claimed_until) VALUES ($1, $2, now() + make_interval(secs => $3))
    ON CONFLICT (bot_id, update_id) DO UPDATE SET claimed_until = EXCLUDED.claimed_until
    WHERE updates.done_at IS NULL AND updates.claimed_until <= now()
    RETURNING true
)
SELECT (SELECT true FROM claimed) AS claimed,
       (SELECT done_at IS NOT NULL FROM updates WHERE bot_id = $1 AND update_id = $2) AS done"""

_DONE = "UPDATE updates SET done_at = now() WHERE bot_id = $1 AND update_id = $2"
_GIVE_UP = "UPDATE updates SET claimed_until = now() WHERE bot_id = $1 AND update_id = $2 AND done_at IS NULL"
_FORGET = "DELETE FROM updates WHERE done_at < now() - make_interval(days => $1)"


class Claim(Enum):
    MINE = "mine"
    DONE = "done"
    BUSY = "busy"
    """Somebody else is at it, or died less than `seconds` ago."""


async def claim_update(db: Executor, bot_id: int, update_id: int, *, seconds: float) -> Claim:
    row = await db.fetchrow(_CLAIM, bot_id, update_id, seconds)
    if row is None or row["claimed"]:
        return Claim.MINE
    return Claim.DONE if row["done"] else Claim.BUSY


async def finish_update(db: Executor, bot_id: int, update_id: int) -> None:
    await db.execute(_DONE, bot_id, update_id)


async def give_up_update(db: Executor, bot_id: int, update_id: int) -> None:
    """Let the next delivery of the update be handled at once."""
    await db.execute(_GIVE_UP, bot_id, update_id)


async def forget_updates(db: Executor, *, days: int) -> None:
    """Telegram keeps an update for 24 hours; older ones cannot come again."""
    await db.execute(_FORGET, days)
