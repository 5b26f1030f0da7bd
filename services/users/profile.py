"""What the bot keeps about a user and changes on request: language, terms, news, quiet hours, reachability."""

from storage.money import ledger
from storage.money.ledger import Balance
from storage.pool import Executor
from storage.users import preferences, users
from storage.users.preferences import Preferences


async def choose_language(db: Executor, user_id: int, language: str) -> None:
    """Speak this language with the user from now on, whatever language Telegram reports."""
    await users.set_language(db, user_id, language)


async def accept_terms(db: Executor, user_id: int) -> None:
    """Note when the user accepted the terms. The first time counts."""
    await users.accept_terms(db, user_id)


async def mark_unreachable(db: Executor, user_id: int) -> None:
    """Record that the user blocked the bot: nothing more is sent to them until they write again."""
    await users.set_inactive(db, user_id)


async def get_balance(db: Executor, user_id: int) -> Balance:
    """What the user can spend, what their running orders hold and what they owe, in credits."""
    return await ledger.get_balance(db, user_id)


async def get_preferences(db: Executor, user_id: int) -> Preferences:
    """What the user has set in `/settings`."""
    return await preferences.get_preferences(db, user_id)


async def toggle_news(db: Executor, user_id: int) -> None:
    """Switch news on or off: broadcasts, not messages about the user's own orders and payments."""
    await preferences.toggle_wants_news(db, user_id)


async def set_clock(db: Executor, user_id: int, utc_offset: int) -> None:
    """Note what the user's clock shows. Their quiet hours stay the same hours on that clock.

    Args:
        db: The database.
        user_id: The user.
        utc_offset: How many hours it is ahead of UTC; any whole number, taken modulo 24.
    """
    await preferences.set_utc_offset(db, user_id, utc_offset % 24)


async def set_quiet_hours(db: Executor, user_id: int, begin: int, end: int) -> None:
    """Set the hours in which messages to the user make no sound.

    Args:
        db: The database.
        user_id: The user.
        begin: The first quiet hour on the user's own clock, 0 to 23.
        end: The hour on that clock at which they end; before `begin` where the hours go over midnight.
    """
    utc_offset = (await preferences.get_preferences(db, user_id)).utc_offset or 0
    await preferences.set_quiet_hours(db, user_id, (begin - utc_offset) % 24, (end - utc_offset) % 24)


async def clear_quiet_hours(db: Executor, user_id: int) -> None:
    """Remove the quiet hours."""
    await preferences.set_quiet_hours(db, user_id, None, None)
