"""`/reconcile`: Telegram's list of payments against our ledger, now."""

from aiogram import Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.types import Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.context import Desk
from services.billing.reconciliation import reconcile

router = Router(name="reconcile")
router.message.filter(is_admin)


@router.message(Command("reconcile"))
async def reconcile_now(message: Message, desk: Desk) -> None:
    """Behind the answer: with many payments it takes longer than Telegram waits for us."""
    await desk.say(desk.t("reconcile.begun"))
    desk.studio.background.spawn(_compare(desk), f"reconcile-{desk.user.id}")


async def _compare(desk: Desk) -> None:
    try:
        found = await reconcile(desk.studio)
        logger.info("admin {} reconciled with Telegram: {}", desk.user.id, found)
        lines = [desk.t("reconcile.found", **found.blanks)]
        await desk.say("\n".join([*lines, desk.t("reconcile.right")] if found.right else lines))
    except TelegramAPIError as error:
        logger.warning("reconciling failed: {}", error.message)
        await desk.say(desk.t("reconcile.failed", why=error.message))
