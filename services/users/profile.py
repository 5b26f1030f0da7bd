"""A user's profile: language, accepted terms, balance, news, quiet hours and reachability."""

from storage.money import ledger
from storage.money.ledger import Balance
from storage.pool import Executor
from storage.users import preferences, users
from storage.users.preferences import Preferences


async def choose_language(db: Executor, user_id: int, language: str) -> None:
    """Set the user's language, overriding the one that Telegram reports."""
    await users.set_language(db, user_id, language)


async def accept_terms(db: Executor, user_id: int) -> None:
    """Record when the user accepted the terms. Only the first time counts."""
    await users.accept_terms(db, user_id)


async def mark_unreachable(db: Executor, user_id: int) -> None:
    """Record that the user blocked the bot, so that nothing is sent to them until they write again."""
    await users.set_inactive(db, user_id)


async def get_balance(db: Executor, user_id: int) -> Balance:
    """Return the user's available credits, the credits held by open orders, and the debt."""
    return await ledger.get_balance(db, user_id)


async def get_preferences(db: Executor, user_id: int) -> Preferences:
    """Return the user's preferences from `/settings`."""
    return await preferences.get_preferences(db, user_id)


async def toggle_news(db: Executor, user_id: int) -> None:
    """Switch news on or off: broadcasts, but not messages about the user's orders and payments."""
    await preferences.toggle_wants_news(db, user_id)


async def set_clock(db: Executor, user_id: int, utc_offset: int) -> None:
    """Set the user's UTC offset. Their quiet hours stay the same in local time.

    Args:
        db: The database.
        user_id: The user.
        utc_offset: Hours ahead of UTC. Any whole number is accepted and taken modulo 24.
    """
    await preferences.set_utc_offset(db, user_id, utc_offset % 24)


async def set_quiet_hours(db: Executor, user_id: int, begin: int, end: int) -> None:
    """Set the hours in which messages to the user are silent.

    Args:
        db: The database.
        user_id: The user.
        begin: The first quiet hour in the user's local time, 0 to 23.
        end: The hour in local time at which they end. It is before `begin` if they span midnight.
    """
    utc_offset = (await preferences.get_preferences(db, user_id)).utc_offset or 0
    await preferences.set_quiet_hours(db, user_id, (begin - utc_offset) % 24, (end - utc_offset) % 24)


async def clear_quiet_hours(db: Executor, user_id: int) -> None:
    """Remove the quiet hours."""
    await preferences.set_quiet_hours(db, user_id, None, None)
