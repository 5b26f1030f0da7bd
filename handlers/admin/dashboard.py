"""`/dashboard`: a link that lets an admin into the dashboard, once, within ten minutes."""

from aiogram import Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.context import Desk
from services.admin.dashboard_auth import LINK_SECONDS, SESSION_SECONDS, Door

router = Router(name="dashboard")
router.message.filter(is_admin)


@router.message(Command("dashboard"))
async def dashboard(message: Message, desk: Desk, door: Door) -> None:
    """The link as a button; in words where Telegram takes no button to such a place, as with `localhost`."""
    url = await door.new_link(desk.user.id)
    logger.info("admin {} asked for a link to the dashboard", desk.user.id)
    text = desk.t("dashboard.link", minutes=LINK_SECONDS // 60, hours=SESSION_SECONDS // 3600)
    open_it = InlineKeyboardButton(text=desk.t("button.dashboard"), url=url)
    try:
        await desk.say(text, InlineKeyboardMarkup(inline_keyboard=[[open_it]]))
    except TelegramBadRequest as error:
        logger.info("Telegram takes no button to {}: {}", door.url, _without(error.message, url))
        await desk.say(f"{text}\n{url}")


def _without(words: str, url: str) -> str:
    """Telegram repeats the link in its refusal; it opens the dashboard, so it stays out of the log."""
    return words.replace(url, "…")
