"""The users of the bot."""

from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from storage.pool import Executor

_GET = "SELECT * FROM users WHERE id = $1"

# Telegram may give a released username to another user, so this finds the user who was last seen with it.
_FIND_ID = "SELECT id FROM users WHERE lower(username) = lower($1) ORDER BY last_seen_at DESC LIMIT 1"

_REGISTER = """
INSERT INTO users (id, bot_name, language, username, first_name) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO NOTHING RETURNING true"""

_SET_LANGUAGE = "UPDATE users SET language = $2, language_chosen = true WHERE id = $1"
_INVITER = "SELECT i.* FROM users u JOIN users i ON i.id = u.invited_by WHERE u.id = $1"
_ACCEPT_TERMS = "UPDATE users SET terms_accepted_at = now() WHERE id = $1 AND terms_accepted_at IS NULL"
_SET_INACTIVE = "UPDATE users SET active = false WHERE id = $1 AND bot_name = coalesce($2, bot_name) AND active"
_SET_BLOCKED = "UPDATE users SET blocked = $2 WHERE id = $1 AND blocked <> $2 RETURNING true"
_ADD_NOTE = """
UPDATE users SET notes = concat_ws(chr(10), nullif(notes, ''), $2::text) WHERE id = $1 RETURNING true"""


@dataclass(frozen=True)
class TelegramProfile:
    """What Telegram reports about a user, and the bot that they wrote to."""

    id: int
    bot_name: str
    language: str
    username: str | None
    first_name: str


@dataclass(frozen=True)
class User:
    """A user of the bot.

    Attributes:
        language: The language the bot uses with them: chosen in /language, or else Telegram's.
        active: False once Telegram reported that they blocked the bot or closed their account.
        blocked: Whether an admin blocked them.
        discount: Percent off every order, from a current subscription.
    """

    id: int
    bot_name: str
    language: str
    language_chosen: bool
    username: str | None
    first_name: str
    active: bool
    blocked: bool = False
    discount: int = 0
    terms_accepted: bool = False


def _user_from_row(row: asyncpg.Record) -> User:
    until: datetime | None = row["discount_until"]
    return User(
        id=row["id"],
        bot_name=row["bot_name"],
        language=row["language"],
        language_chosen=row["language_chosen"],
        username=row["username"],
        first_name=row["first_name"],
        active=row["active"],
        blocked=row["blocked"],
        discount=row["discount"] if until is not None and until > datetime.now(UTC) else 0,
        terms_accepted=row["terms_accepted_at"] is not None,
    )


async def get_user(db: Executor, user_id: int) -> User | None:
    """The user with this Telegram id, if the bot knows them."""
    row = await db.fetchrow(_GET, user_id)
    return None if row is None else _user_from_row(row)


async def find_user_id(db: Executor, username: str) -> int | None:
    """The id of the user with this username, ignoring case."""
    found: int | None = await db.fetchval(_FIND_ID, username)
    return found


async def register_user(db: Executor, profile: TelegramProfile) -> bool:
    """Store a new user. False if the user is already known."""
    p = profile
    return bool(await db.fetchval(_REGISTER, p.id, p.bot_name, p.language, p.username, p.first_name))


async def accept_terms(db: Executor, user_id: int) -> None:
    """Record that the user accepts the terms, unless they already have."""
    await db.execute(_ACCEPT_TERMS, user_id)


async def get_inviter(db: Executor, user_id: int) -> User | None:
    """The user whose link this one came by, if any."""
    row = await db.fetchrow(_INVITER, user_id)
    return None if row is None else _user_from_row(row)


async def set_language(db: Executor, user_id: int, language: str) -> None:
    """Set the language that the user chose. Telegram's language no longer changes it."""
    await db.execute(_SET_LANGUAGE, user_id, language)


async def set_inactive(db: Executor, user_id: int, bot_name: str | None = None) -> None:
    """Record that the user has blocked the bot or closed their account.

    Args:
        db: The database.
        user_id: The user.
        bot_name: Do nothing unless the user wrote to this bot last; None for any bot.
    """
    await db.execute(_SET_INACTIVE, user_id, bot_name)


async def set_blocked(db: Executor, user_id: int, *, blocked: bool) -> bool:
    """Block or unblock a user. False if nothing changes or there is no such user."""
    return bool(await db.fetchval(_SET_BLOCKED, user_id, blocked))


async def add_note(db: Executor, user_id: int, line: str) -> bool:
    """Add a line to the admins' notes about a user. False if there is no such user."""
    return bool(await db.fetchval(_ADD_NOTE, user_id, line))
