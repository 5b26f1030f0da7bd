"""Promo codes: users redeem them, and admins also create and list them."""

from typing import Final

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from handlers.context import UserContext
from handlers.views import menu_row
from services.billing.promo_codes import NewPromoCode, create_promo_code, list_promo_codes, redeem_promo_code
from services.core.errors import InvalidRequest
from services.core.formatting import format_day
from services.messaging.buttons import MenuCallback, button, keyboard

router = Router(name="promo")
_MAX_LISTED: Final = 30


async def run_promo(ctx: UserContext, args: str) -> None:
    """Redeem a promo code. Admins can also create and list codes.

    Args:
        ctx: The user.
        args: The code; for admins also `new <arguments>` or `list`. If it is empty, the usage is sent.
    """
    words = args.split()
    try:
        if ctx.is_admin and words[:1] == ["new"]:
            text = await _create_promo(ctx, words[1:])
        elif ctx.is_admin and words == ["list"]:
            text = await _list_promos(ctx)
        elif not words:
            text = ctx.t("promo.usage" if ctx.is_admin else "promo.ask")
        else:
            credits = await redeem_promo_code(ctx.db, " ".join(words), ctx.user.id)
            available = (await ctx.balance()).available
            text = f"{ctx.t('promo.redeemed', credits)}\n{ctx.t('balance.available', available)}"
    except InvalidRequest as failure:
        text = ctx.failure_text(failure)
    balance = button(ctx.t("button.balance"), MenuCallback(place="balance"))
    await ctx.send(text, keyboard([[balance, *menu_row(ctx)]]))


@router.message(Command("promo"))
async def _promo(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """Redeem a promo code. Admins also create and list codes."""
    await run_promo(ctx, command.args or "")


async def _create_promo(ctx: UserContext, args: list[str]) -> str:
    promo_code = NewPromoCode.parse(args)
    await create_promo_code(ctx.db, promo_code, ctx.user.id)
    until = format_day(ctx.language, promo_code.expires_at)
    return ctx.t("promo.made", promo_code.credits, code=promo_code.code, uses=promo_code.max_uses, day=until)


async def _list_promos(ctx: UserContext) -> str:
    codes = await list_promo_codes(ctx.db, limit=_MAX_LISTED)
    if not codes:
        return ctx.t("promo.none")
    lines = [ctx.t("promo.list")]
    for promo_code in codes:
        mark = "🟢" if promo_code.valid and promo_code.use_count < promo_code.max_uses else "⚪️"
        until = format_day(ctx.language, promo_code.expires_at)
        line = ctx.t(
            "promo.line",
            code=promo_code.code,
            stars=promo_code.credits,
            used=promo_code.use_count,
            uses=promo_code.max_uses,
            day=until,
        )
        lines.append(f"{mark} {line}")
    return "\n".join(lines)
