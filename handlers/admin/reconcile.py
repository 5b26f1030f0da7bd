"""`/reconcile`: compares Telegram's list of payments with ours now."""

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message
from loguru import logger

from handlers.admin.access import is_admin
from handlers.context import UserContext
from services.messaging.stars import StarsError

router = Router(name="reconcile")
router.message.filter(is_admin)


async def start_reconciliation(ctx: UserContext, args: str = "") -> None:
    """Reconcile in the background and then report: many payments take longer than the handling of an update may.

    Args:
        ctx: The admin.
        args: The text after the command; ignored.
    """
    await ctx.send(ctx.t("reconcile.begun"))
    ctx.background.spawn(_reconcile_and_report(ctx), f"reconcile-{ctx.user.id}")


@router.message(Command("reconcile"))
async def _reconcile(message: Message, ctx: UserContext) -> None:
    """Compare Telegram's list of payments with ours."""
    await start_reconciliation(ctx)


async def _reconcile_and_report(ctx: UserContext) -> None:
    try:
        report = await ctx.reconciliation.run()
    except StarsError as error:
        logger.warning("reconciliation failed", admin=ctx.user.id, error=error)
        await ctx.send(ctx.t("reconcile.failed", why=str(error)))
        return
    logger.info("reconciled with Telegram", admin=ctx.user.id, facts=report.text_params)
    lines = [ctx.t("reconcile.found", **report.text_params)]
    await ctx.send("\n".join([*lines, ctx.t("reconcile.right")] if report.is_consistent else lines))
