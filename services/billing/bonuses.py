"""Bonus credits given to a user by an admin."""

from datetime import UTC, datetime
from typing import Final

from loguru import logger

from services.ledger import credits as ledger
from services.notifications.notices import LocalizedLine
from services.notifications.notify import notify
from storage.pool import Pool
from storage.users.users import add_note

MAX_BONUS_CREDITS: Final = 100_000
"""The amount of Telegram's largest invoice, to limit the damage of a typing error."""


async def give_bonus_credits(
    db: Pool, *, key: str, user_id: int, credits: int, admin_id: int, reason: str
) -> bool:
    """Give a user credits, notify them and add a note about the user, in one transaction.

    Args:
        db: The database.
        key: A unique key. A second bonus with the same key is not given.
        user_id: The user who gets the credits.
        credits: Whole credits, above zero.
        admin_id: The admin who gives them.
        reason: The reason shown to the user; may be empty.

    Returns:
        False if this key was used before.
    """
    note = f"{datetime.now(UTC):%Y-%m-%d} {admin_id}: +{credits} ⭐ {reason}".rstrip()
    async with db.acquire() as connection, connection.transaction():
        given = await ledger.give_bonus(
            connection, key=f"grant:{key}", kind="grant", user_id=user_id, amount=credits
        )
        if given:
            await add_note(connection, user_id, note)
            await notify(
                connection,
                user_id=user_id,
                key="grant.told",
                n=credits,
                extra_lines=[LocalizedLine.of("grant.reason", reason=reason)] if reason else [],
                dedup_key=f"grant:{key}",
            )
    if given:
        logger.info("credits given", user=user_id, admin=admin_id, credits=credits, reason=reason)
    return given
