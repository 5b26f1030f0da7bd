"""`/dashboard`: a link that lets an admin into the dashboard, once, within ten minutes."""

from aiogram import Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.context import UserContext
from services.admin.dashboard_auth import LINK_LIFETIME_SECONDS, SESSION_SECONDS, DashboardAuth

router = Router(name="dashboard")
router.message.filter(is_admin)


@router.message(Command("dashboard"))
async def send_dashboard_link(message: Message, ctx: UserContext, dashboard_auth: DashboardAuth) -> None:
    """The link as a button; in words where Telegram takes no button to such a place, as with `localhost`."""
    url = await dashboard_auth.create_link(ctx.user.id)
    logger.info("admin {} asked for a link to the dashboard", ctx.user.id)
    text = ctx.t("dashboard.link", minutes=LINK_LIFETIME_SECONDS // 60, hours=SESSION_SECONDS // 3600)
    link_button = InlineKeyboardButton(text=ctx.t("button.dashboard"), url=url)
    try:
        await ctx.send(text, InlineKeyboardMarkup(inline_keyboard=[[link_button]]))
    except TelegramBadRequest as error:
        logger.info("Telegram takes no button to {}: {}", dashboard_auth.url, _remove_url(error.message, url))
        await ctx.send(f"{text}\n{url}")


def _remove_url(text: str, url: str) -> str:
    """Telegram repeats the link in its refusal; it opens the dashboard, so it stays out of the log."""
    return text.replace(url, "…")
