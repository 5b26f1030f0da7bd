"""The people the bot knows."""

from dataclasses import dataclass

import asyncpg

from storage.pool import Executor

_GET = "SELECT * FROM users WHERE id = $1"

_REGISTER = """
INSERT INTO users (id, bot_name, language, username, first_name) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO NOTHING RETURNING true"""

_SET_LANGUAGE = "UPDATE users SET language = $2, language_chosen = true WHERE id = $1"
_SET_INACTIVE = "UPDATE users SET active = false WHERE id = $1 AND active"


@dataclass(frozen=True)
class Profile:
    """What Telegram says of a person, and the bot they wrote to."""

    id: int
    bot_name: str
    language: str
    username: str | None
    first_name: str


@dataclass(frozen=True)
class User:
    """`language` is what we speak with the person: chosen in /language, or Telegram's."""

    id: int
    bot_name: str
    language: str
    language_chosen: bool
    username: str | None
    first_name: str
    active: bool


def _user(row: asyncpg.Record) -> User:
    return User(**{name: row[name] for name in User.__dataclass_fields__})


async def get_user(db: Executor, user_id: int) -> User | None:
    row = await db.fetchrow(_GET, user_id)
    return None if row is None else _user(row)


async def register_user(db: Executor, profile: Profile) -> bool:
    """Write down a new person. False when they were known already."""
    p = profile
    return bool(await db.fetchval(_REGISTER, p.id, p.bot_name, p.language, p.username, p.first_name))


async def set_language(db: Executor, user_id: int, language: str) -> None:
    await db.execute(_SET_LANGUAGE, user_id, language)


async def set_inactive(db: Executor, user_id: int) -> None:
    """Telegram said that the person blocked the bot or closed the account."""
    await db.execute(_SET_INACTIVE, user_id)
