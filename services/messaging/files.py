"""Files that users sent: their bytes, by Telegram's id. Telegram's URLs hold the bot's token and stay here."""

import io

from aiogram.exceptions import TelegramAPIError
from aiohttp import ClientError

from services.core.errors import TransientFailure
from services.messaging.bots import Bots
from services.messaging.telegram_errors import to_delivery_failure


async def download_file(bots: Bots, bot_name: str, file_id: str) -> bytes:
    """Fetch a file from Telegram.

    Args:
        bots: All bots.
        bot_name: The bot that the file was sent to: ids are a bot's own.
        file_id: Telegram's id of the file.

    Returns:
        The file's content.

    Raises:
        Failure: Telegram cannot be reached, or refuses.
    """
    content = io.BytesIO()
    try:
        await bots.get(bot_name).download(file_id, destination=content)
    except TelegramAPIError as error:
        raise to_delivery_failure(error) from error
    except (ClientError, TimeoutError) as error:
        raise TransientFailure("failure.telegram", detail=type(error).__name__) from error
    return content.getvalue()
