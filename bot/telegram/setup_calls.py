"""Calls that set up a bot, retried until Telegram accepts them."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import stamina
from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from loguru import logger

from services.core.i18n import DEFAULT_LANGUAGE, Texts
from services.messaging.command_menu import build_commands

ALLOWED_UPDATES: Final = ["message", "callback_query", "pre_checkout_query", "my_chat_member"]
"""The only kinds of update that the bot asks for: https://core.telegram.org/bots/api#update"""

RETRY_SECONDS: Final = 2.0


async def announce_commands(bots: Mapping[str, Bot], texts: Texts) -> None:
    """Set the commands in every bot's menu.

    Args:
        bots: The bots by name.
        texts: The descriptions of the commands. English is also the default, for languages that the bot does not speak.
    """
    for bot in bots.values():
        for language in texts.languages:
            commands = build_commands(texts, language)
            codes = [language] if language != DEFAULT_LANGUAGE else [language, None]
            for code in codes:
                await until_done("setMyCommands", partial(bot.set_my_commands, commands, language_code=code))


async def until_done(method: str, call: Callable[[], Awaitable[object]]) -> None:
    """Make a call to Telegram, every two seconds, until it succeeds. Errors other than TelegramAPIError are raised.

    Args:
        method: The name of the method, for the log.
        call: Makes the call.
    """

    def is_refused(error: Exception) -> bool:
        if not isinstance(error, TelegramAPIError):
            return False
        logger.warning("setup call failed, retrying", method=method, seconds=RETRY_SECONDS, error=error.message)
        return True

    async for attempt in stamina.retry_context(
        on=is_refused,
        attempts=None,
        timeout=None,
        wait_initial=RETRY_SECONDS,
        wait_max=RETRY_SECONDS,
        wait_jitter=0,
    ):
        with attempt:
            await call()
