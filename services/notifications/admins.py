"""Speaking to the admins: each in their own language, through the bot they last wrote to."""

from aiogram.exceptions import TelegramAPIError
from loguru import logger

from services.core.i18n import DEFAULT_LANGUAGE
from services.core.message_text import fit_message
from services.messaging.app_context import Studio
from services.notifications.notify import notify
from storage.users.users import get_user


async def tell_admins(
    studio: Studio, key: str, n: int | None = None, /, *, dedupe: str | int = "", **params: str | int
) -> int:
    """Tell every admin a text; gives how many will get it, however long Telegram is away.

    The same `dedupe` is told once.
    """
    told = 0
    for admin in sorted(studio.admins):
        async with studio.db.acquire() as connection, connection.transaction():
            known = await get_user(connection, admin) is not None
            mine = f"{dedupe}:admin:{admin}" if dedupe else ""
            noted = known and await notify(
                connection, user_id=admin, key=key, n=n, params=params, menu=False, dedupe=mine
            )
        told += noted or (not known and await _try_once(studio, admin, key, n, **params))
    return told


async def _try_once(studio: Studio, admin: int, key: str, n: int | None = None, /, **params: str | int) -> bool:
    """An admin who never wrote to this bot can hardly be reached; whether they were is all there is to it."""
    text = fit_message(studio.texts.t(DEFAULT_LANGUAGE, key, n, **params))
    try:
        await studio.bot("").send_message(admin, text)
    except TelegramAPIError as error:
        logger.warning("admin {} was not told {}: {}", admin, key, error.message)
        return False
    return True
