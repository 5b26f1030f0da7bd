"""Telegram's command menu. Admins also see the admin commands: https://core.telegram.org/bots/api#setmycommands"""

from collections.abc import Iterable
from typing import Final

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import BotCommand, BotCommandScopeChat
from loguru import logger

from services.core.i18n import DEFAULT_LANGUAGE, Texts
from services.messaging.bots import Bots
from storage.pool import Pool
from storage.users.users import get_user

COMMANDS: Final = (
    *("menu", "balance", "topup", "subscribe", "invite", "promo", "history", "price"),
    *("models", "voices", "game", "settings", "language", "help", "cancel"),
)
ADMIN_COMMANDS: Final = (
    *("admin", "plan", "dashboard", "stats", "user", "refund", "reconcile", "promo", "grant", "broadcast"),
    "hello",
)


def build_commands(texts: Texts, language: str, names: Iterable[str] = COMMANDS) -> list[BotCommand]:
    """Build commands with descriptions.

    Args:
        texts: The texts of the descriptions.
        language: The language of the descriptions.
        names: The names of the commands.
    """
    return [BotCommand(command=name, description=texts.t(language, f"command.{name}")) for name in names]


def _build_admin_commands(texts: Texts, language: str) -> list[BotCommand]:
    """Build the user commands followed by the admin commands. A command in both has the description for admins."""
    user_commands = build_commands(texts, language, (name for name in COMMANDS if name not in ADMIN_COMMANDS))
    admin_commands = [
        BotCommand(command=name, description=texts.t(language, f"admin.{name}")) for name in ADMIN_COMMANDS
    ]
    return [*user_commands, *admin_commands]


async def set_admin_commands(bot: Bot, texts: Texts, admin_id: int, language: str) -> None:
    """Show the admin commands in the command menu of one admin's chat.

    Telegram refuses this if the admin has never written to the bot. That is only logged, because `/admin` sets the
    commands again.

    Args:
        bot: The bot.
        texts: The texts of the descriptions.
        admin_id: The admin's Telegram id, which is also the chat's id.
        language: The admin's language.
    """
    try:
        await bot.set_my_commands(
            _build_admin_commands(texts, language), scope=BotCommandScopeChat(chat_id=admin_id)
        )
    except TelegramAPIError as error:
        logger.info("admin commands not set", admin=admin_id, error=error.message)


async def set_commands_for_admins(db: Pool, bots: Bots, texts: Texts, admins: Iterable[int]) -> None:
    """Show the admin commands to every admin in every bot's command menu, in the admin's language."""
    for admin in sorted(admins):
        user = await get_user(db, admin)
        language = user.language if user is not None else DEFAULT_LANGUAGE
        for bot in bots.by_name.values():
            await set_admin_commands(bot, texts, admin, language)
