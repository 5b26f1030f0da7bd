"""Calls that set a bot up: they are repeated until Telegram has accepted them."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from loguru import logger

from services.admin.command_menu import build_commands
from services.core.i18n import DEFAULT_LANGUAGE, Texts

ALLOWED_UPDATES = ["message", "callback_query", "pre_checkout_query", "my_chat_member"]
RETRY_SECONDS = 2.0


async def announce_commands(bots: Mapping[str, Bot], texts: Texts) -> None:
    """Put the commands into Telegram's menu, in every language; English for people of any other."""
    for bot in bots.values():
        for language in texts.languages:
            commands = build_commands(texts, language)
            codes = [language] if language != DEFAULT_LANGUAGE else [language, None]
            for code in codes:
                await until_done("setMyCommands", partial(bot.set_my_commands, commands, language_code=code))


async def until_done(what: str, call: Any) -> None:
    while True:
        try:
            await call()
        except TelegramAPIError as error:
            logger.warning("{}: {}", what, error.message)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
