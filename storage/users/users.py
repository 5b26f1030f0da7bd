"""The people the bot knows."""

from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from storage.pool import Executor

_GET = "SELECT * FROM users WHERE id = $1"

_REGISTER = """
INSERT INTO users (id, bot_name, language, username, first_name) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO NOTHING RETURNING true"""

_SET_LANGUAGE = "UPDATE users SET language = $2, language_chosen = true WHERE id = $1"
_INVITER = "SELECT i.* FROM users u JOIN users i ON i.id = u.invited_by WHERE u.id = $1"
_ACCEPT_TERMS = "UPDATE users SET terms_at = now() WHERE id = $1 AND terms_at IS NULL"
_SET_INACTIVE = "UPDATE users SET active = false WHERE id = $1 AND active"


@dataclass(frozen=True)
class TelegramProfile:
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
    blocked: bool = False
    """By an admin: the bot does nothing for them."""
    discount: int = 0
    """Percent off every order, by a subscription that runs."""
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
        terms_accepted=row["terms_at"] is not None,
    )


async def get_user(db: Executor, user_id: int) -> User | None:
    row = await db.fetchrow(_GET, user_id)
    return None if row is None else _user_from_row(row)


async def register_user(db: Executor, profile: TelegramProfile) -> bool:
    """Write down a new person. False when they were known already."""
    p = profile
    return bool(await db.fetchval(_REGISTER, p.id, p.bot_name, p.language, p.username, p.first_name))


async def accept_terms(db: Executor, user_id: int) -> None:
    await db.execute(_ACCEPT_TERMS, user_id)


async def get_inviter(db: Executor, user_id: int) -> User | None:
    row = await db.fetchrow(_INVITER, user_id)
    return None if row is None else _user_from_row(row)


async def set_language(db: Executor, user_id: int, language: str) -> None:
    await db.execute(_SET_LANGUAGE, user_id, language)


async def set_inactive(db: Executor, user_id: int) -> None:
    """Telegram said that the person blocked the bot or closed the account."""
    await db.execute(_SET_INACTIVE, user_id)
