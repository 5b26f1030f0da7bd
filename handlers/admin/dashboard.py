"""`/dashboard`: a link that logs an admin into the dashboard. It works once, within ten minutes."""

from aiogram import Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.context import UserContext
from providers.redaction import redact
from services.admin.dashboard_auth import LINK_LIFETIME_SECONDS, SESSION_SECONDS, DashboardAuth

router = Router(name="dashboard")
router.message.filter(is_admin)


async def send_dashboard_link(dashboard_auth: DashboardAuth, ctx: UserContext, args: str = "") -> None:
    """Send a link as a button, or as text if Telegram does not accept the URL in a button, such as `localhost`.

    Args:
        dashboard_auth: Creates the link.
        ctx: The admin.
        args: The text after the command; ignored.
    """
    url = await dashboard_auth.create_link(ctx.user.id)
    logger.info("dashboard link requested", admin=ctx.user.id)
    text = ctx.t("dashboard.link", minutes=LINK_LIFETIME_SECONDS // 60, hours=SESSION_SECONDS // 3600)
    link_button = InlineKeyboardButton(text=ctx.t("button.dashboard"), url=url)
    try:
        await ctx.send(text, InlineKeyboardMarkup(inline_keyboard=[[link_button]]))
    except TelegramBadRequest as error:
        # Telegram's error repeats the link, which anybody could use to log in.
        logger.debug("dashboard button refused by Telegram", error=redact(error.message))
        await ctx.send(f"{text}\n{url}")


@router.message(Command("dashboard"))
async def _dashboard(message: Message, ctx: UserContext, dashboard_auth: DashboardAuth) -> None:
    """Send a one-time link to the dashboard."""
    await send_dashboard_link(dashboard_auth, ctx)
