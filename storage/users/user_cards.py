"""What admins see of a person, and what they may change: the block, and notes."""

from dataclasses import dataclass
from datetime import datetime

from storage.pool import Executor

_CARD = """
SELECT u.created_at, u.seen_at, u.notes, u.invited_by, b.available, b.held, b.debt,
       j.orders, j.succeeded, c.paid, c.refunded
FROM users u JOIN balances b ON b.user_id = u.id,
LATERAL (SELECT count(*) AS orders, count(*) FILTER (WHERE state = 'succeeded') AS succeeded
         FROM jobs WHERE user_id = u.id AND NOT errand) j,
LATERAL (SELECT coalesce(sum(stars), 0)::bigint AS paid,
                coalesce(sum(stars) FILTER (WHERE refunded_at IS NOT NULL), 0)::bigint AS refunded
         FROM charges WHERE user_id = u.id) c
WHERE u.id = $1"""

# Telegram gives a name that was let go to somebody else: whoever was seen with it last has it.
_FIND = "SELECT id FROM users WHERE lower(username) = lower($1) ORDER BY seen_at DESC LIMIT 1"

_BLOCK = "UPDATE users SET blocked = $2 WHERE id = $1 AND blocked <> $2 RETURNING true"
_NOTE = "UPDATE users SET notes = concat_ws(chr(10), nullif(notes, ''), $2::text) WHERE id = $1 RETURNING true"


@dataclass(frozen=True)
class UserCard:
    """Credits, orders and payments in whole Stars; `notes` are lines, the oldest first."""

    created_at: datetime
    last_seen_at: datetime
    notes: str
    invited_by: int | None
    available: int
    held: int
    debt: int
    orders: int
    succeeded: int
    paid: int
    refunded: int


async def get_user_card(db: Executor, user_id: int) -> UserCard | None:
    row = await db.fetchrow(_CARD, user_id)
    return None if row is None else UserCard(**dict(row))


async def find_user_id(db: Executor, username: str) -> int | None:
    """The id of the person with that name, written with or without capitals."""
    found: int | None = await db.fetchval(_FIND, username)
    return found


async def set_blocked(db: Executor, user_id: int, *, blocked: bool) -> bool:
    """False where it is so already, or nobody has that id."""
    return bool(await db.fetchval(_BLOCK, user_id, blocked))


async def add_note(db: Executor, user_id: int, line: str) -> bool:
    """Write a line to what admins know of a person. False where nobody has that id."""
    return bool(await db.fetchval(_NOTE, user_id, line))
