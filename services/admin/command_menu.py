"""The commands in Telegram's menu: everybody's, and those of who runs the bot, whom alone they are shown."""

from collections.abc import Iterable
from typing import Final

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import BotCommand, BotCommandScopeChat
from loguru import logger

from services.core.i18n import DEFAULT_LANGUAGE, Texts
from services.messaging.app_context import AppContext
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
    return [BotCommand(command=name, description=texts.t(language, f"command.{name}")) for name in names]


def build_admin_commands(texts: Texts, language: str) -> list[BotCommand]:
    """Everybody's commands, and below them those of who runs the bot; one that is both as an admin knows it."""
    user_commands = build_commands(texts, language, (name for name in COMMANDS if name not in ADMIN_COMMANDS))
    admin_commands = [
        BotCommand(command=name, description=texts.t(language, f"admin.{name}")) for name in ADMIN_COMMANDS
    ]
    return [*user_commands, *admin_commands]


async def set_admin_commands(bot: Bot, texts: Texts, admin_id: int, language: str) -> None:
    """Put the admins' commands below the others in one admin's own menu.

    Telegram refuses for a chat that the bot never had: nothing is lost, `/admin` announces them again.
    """
    try:
        await bot.set_my_commands(
            build_admin_commands(texts, language), scope=BotCommandScopeChat(chat_id=admin_id)
        )
    except TelegramAPIError as error:
        logger.info("admin {} has no commands in the menu: {}", admin_id, error.message)


async def set_commands_for_admins(studio: AppContext) -> None:
    for admin in sorted(studio.admins):
        user = await get_user(studio.db, admin)
        language = user.language if user is not None else DEFAULT_LANGUAGE
        for bot in studio.bots.values():
            await set_admin_commands(bot, studio.texts, admin, language)
