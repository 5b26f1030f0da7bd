"""Files that people sent: their bytes, by Telegram's id. Telegram's URLs hold the bot's token and go nowhere."""

import io

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiohttp import ClientError

from services.core.errors import TransientFailure
from services.messaging.telegram_errors import to_delivery_failure


async def download_file(bot: Bot, file_id: str) -> bytes:
    """Raises Failure."""
    content = io.BytesIO()
    try:
        await bot.download(file_id, destination=content)
    except TelegramAPIError as error:
        raise to_delivery_failure(error) from error
    except (ClientError, TimeoutError) as error:
        raise TransientFailure("failure.telegram", detail=type(error).__name__) from error
    return content.getvalue()
