"""Downloads files that users sent. Telegram's URLs contain the bot's token, so they do not leave this module."""

import io

from aiogram.exceptions import TelegramAPIError
from aiohttp import ClientError

from services.core.errors import TransientFailure
from services.messaging.bots import Bots
from services.messaging.telegram_errors import to_delivery_failure


async def download_file(bots: Bots, bot_name: str, file_id: str) -> bytes:
    """Download a file from Telegram.

    Args:
        bots: All bots.
        bot_name: The bot that received the file. File ids are valid only for that bot.
        file_id: Telegram's id of the file.

    Returns:
        The file's content.

    Raises:
        Failure: Telegram cannot be reached or refuses.
    """
    content = io.BytesIO()
    try:
        await bots.get(bot_name).download(file_id, destination=content)
    except TelegramAPIError as error:
        raise to_delivery_failure(error) from error
    except (ClientError, TimeoutError) as error:
        raise TransientFailure("failure.telegram", detail=type(error).__name__) from error
    return content.getvalue()
