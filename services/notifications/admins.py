"""Speaking to the admins: each in their own language, through the bot they last wrote to."""

from aiogram.exceptions import TelegramAPIError
from loguru import logger

from services.core.i18n import DEFAULT_LANGUAGE
from services.core.message_text import truncate_html
from services.messaging.app_context import AppContext
from services.notifications.notify import notify
from storage.users.users import get_user


async def notify_admins(
    studio: AppContext, key: str, n: int | None = None, /, *, dedup_key: str | int = "", **params: str | int
) -> int:
    """Tell every admin a text; gives how many will get it, however long Telegram is away.

    The same `dedupe` is told once.
    """
    notified = 0
    for admin_id in sorted(studio.admins):
        async with studio.db.acquire() as connection, connection.transaction():
            known = await get_user(connection, admin_id) is not None
            admin_dedup_key = f"{dedup_key}:admin:{admin_id}" if dedup_key else ""
            enqueued = known and await notify(
                connection,
                user_id=admin_id,
                key=key,
                n=n,
                params=params,
                with_menu_button=False,
                dedup_key=admin_dedup_key,
            )
        notified += enqueued or (not known and await _send_directly(studio, admin_id, key, n, **params))
    return notified


async def _send_directly(
    studio: AppContext, admin_id: int, key: str, n: int | None = None, /, **params: str | int
) -> bool:
    """An admin who never wrote to this bot can hardly be reached; whether they were is all there is to it."""
    text = truncate_html(studio.texts.t(DEFAULT_LANGUAGE, key, n, **params))
    try:
        await studio.bot_or_default("").send_message(admin_id, text)
    except TelegramAPIError as error:
        logger.warning("admin {} was not told {}: {}", admin_id, key, error.message)
        return False
    return True
