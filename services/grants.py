"""Credits that an admin gives somebody."""

from datetime import UTC, datetime
from typing import Final

from aiogram.exceptions import TelegramAPIError
from loguru import logger

from services import ledger
from services.studio import Studio
from storage.user_cards import add_note
from storage.users import User

MOST: Final = 100_000
"""Stars: as much as Telegram's largest invoice, so that a slip of the finger stays a small one."""


async def grant(studio: Studio, *, key: str, user_id: int, stars: int, admin: int, reason: str) -> bool:
    """Give `stars` credits, and write down who did and why. False where this key was given before."""
    note = f"{datetime.now(UTC):%Y-%m-%d} {admin}: +{stars} ⭐ {reason}".rstrip()
    async with studio.db.acquire() as connection, connection.transaction():
        given = await ledger.give_bonus(
            connection, key=f"grant:{key}", kind="grant", user_id=user_id, amount=stars
        )
        if given:
            await add_note(connection, user_id, note)
    if given:
        logger.info("admin {} gives {} Stars to {}: {}", admin, stars, user_id, reason)
    return given


async def tell_granted(studio: Studio, user: User, stars: int, reason: str) -> bool:
    """Tell the person, in their language. False where they cannot be reached."""
    t = studio.texts.t
    text = t(user.language, "grant.told", stars)
    if reason:
        text += "\n" + t(user.language, "grant.reason", reason=reason)
    try:
        await studio.bot(user.bot_name).send_message(user.id, text)
    except TelegramAPIError as error:
        logger.warning("person {} was not told of {} Stars: {}", user.id, stars, error.message)
        return False
    return True
