"""Credits that an admin gives somebody."""

from datetime import UTC, datetime
from typing import Final

from loguru import logger

from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from services.notifications.notices import LocalizedLine
from services.notifications.notify import notify
from storage.users.users import add_note

MAX_BONUS_CREDITS: Final = 100_000
"""Stars: as much as Telegram's largest invoice, so that a slip of the finger stays a small one."""


async def give_bonus_credits(
    studio: AppContext, *, key: str, user_id: int, credits: int, admin_id: int, reason: str
) -> bool:
    """Give `stars` credits, tell the person, and write down who did and why: one transaction, once. False where
    this key was given before."""
    note = f"{datetime.now(UTC):%Y-%m-%d} {admin_id}: +{credits} ⭐ {reason}".rstrip()
    async with studio.db.acquire() as connection, connection.transaction():
        given = await ledger.give_bonus(
            connection, key=f"grant:{key}", kind="grant", user_id=user_id, amount=credits
        )
        if given:
            await add_note(connection, user_id, note)
            extra_lines = [LocalizedLine.of("grant.reason", reason=reason)] if reason else []
            await notify(
                connection,
                user_id=user_id,
                key="grant.told",
                n=credits,
                extra_lines=extra_lines,
                dedup_key=f"grant:{key}",
            )
    if given:
        logger.info("admin {} gives {} Stars to {}: {}", admin_id, credits, user_id, reason)
    return given
