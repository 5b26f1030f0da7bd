"""Credits that an admin gives somebody."""

from datetime import UTC, datetime
from typing import Final

from loguru import logger

from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from services.notifications.notices import Line
from services.notifications.notify import notify
from storage.users.user_cards import add_note

MOST: Final = 100_000
"""Stars: as much as Telegram's largest invoice, so that a slip of the finger stays a small one."""


async def grant(studio: Studio, *, key: str, user_id: int, stars: int, admin: int, reason: str) -> bool:
    """Give `stars` credits, tell the person, and write down who did and why: one transaction, once. False where
    this key was given before."""
    note = f"{datetime.now(UTC):%Y-%m-%d} {admin}: +{stars} ⭐ {reason}".rstrip()
    async with studio.db.acquire() as connection, connection.transaction():
        given = await ledger.give_bonus(
            connection, key=f"grant:{key}", kind="grant", user_id=user_id, amount=stars
        )
        if given:
            await add_note(connection, user_id, note)
            more = [Line.of("grant.reason", reason=reason)] if reason else []
            await notify(connection, user_id=user_id, key="grant.told", n=stars, more=more, dedupe=f"grant:{key}")
    if given:
        logger.info("admin {} gives {} Stars to {}: {}", admin, stars, user_id, reason)
    return given
