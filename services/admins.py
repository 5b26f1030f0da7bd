"""Speaking to the admins: each in their own language, through the bot they last wrote to."""

from aiogram.exceptions import TelegramAPIError
from loguru import logger

from services.i18n import DEFAULT_LANGUAGE
from services.studio import Studio
from storage.users import get_user


async def tell_admins(studio: Studio, key: str, n: int | None = None, /, **params: str | int) -> int:
    """Send a text to every admin; gives how many got it. One who cannot be reached is logged."""
    told = 0
    for admin in sorted(studio.admins):
        user = await get_user(studio.db, admin)
        language = user.language if user else DEFAULT_LANGUAGE
        bot = studio.bot(user.bot_name if user else "")
        try:
            await bot.send_message(admin, studio.texts.t(language, key, n, **params))
            told += 1
        except TelegramAPIError as error:
            logger.warning("admin {} was not told {}: {}", admin, key, error.message)
    return told
