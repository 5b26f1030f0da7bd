"""`/reconcile`: Telegram's list of payments against our ledger, now."""

from aiogram import Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.types import Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.context import UserContext
from services.billing.reconciliation import reconcile_payments

router = Router(name="reconcile")
router.message.filter(is_admin)


@router.message(Command("reconcile"))
async def _reconcile_now(message: Message, ctx: UserContext) -> None:
    """Behind the answer: with many payments it takes longer than Telegram waits for us."""
    await ctx.send(ctx.t("reconcile.begun"))
    ctx.app.background.spawn(_reconcile_and_report(ctx), f"reconcile-{ctx.user.id}")


async def _reconcile_and_report(ctx: UserContext) -> None:
    try:
        found = await reconcile_payments(ctx.app)
        logger.info("admin {} reconciled with Telegram: {}", ctx.user.id, found)
        lines = [ctx.t("reconcile.found", **found.text_params)]
        await ctx.send("\n".join([*lines, ctx.t("reconcile.right")] if found.is_consistent else lines))
    except TelegramAPIError as error:
        logger.warning("reconciling failed: {}", error.message)
        await ctx.send(ctx.t("reconcile.failed", why=error.message))
