"""Promo codes: people redeem them; for those who run the bot, also making and listing them."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import InlineKeyboardMarkup, Message

from handlers.context import UserContext
from services.billing.promo_codes import NewPromoCode, create_promo_code, redeem_promo_code
from services.core.errors import InvalidRequest
from services.core.formatting import format_day
from services.messaging.buttons import MenuCallback, button, keyboard, menu_button
from storage.money.promo_codes import latest_promos

router = Router(name="promo")
_MAX_LISTED = 30


@router.message(Command("promo"))
async def _promo(message: Message, ctx: UserContext, command: CommandObject) -> None:
    args = (command.args or "").split()
    is_admin = ctx.user.id in ctx.app.admins
    try:
        if is_admin and args[:1] == ["new"]:
            text = await _create_promo(ctx, args[1:])
        elif is_admin and args == ["list"]:
            text = await _list_promos(ctx)
        elif not args:
            text = ctx.t("promo.usage" if is_admin else "promo.ask")
        else:
            credits = await redeem_promo_code(ctx.app, " ".join(args), ctx.user.id)
            text = f"{ctx.t('promo.redeemed', credits)}\n{await _balance_line(ctx)}"
    except InvalidRequest as refused:
        text = ctx.t(refused.key, **refused.params)
    await ctx.send(text, _keyboard(ctx))


async def _create_promo(ctx: UserContext, args: list[str]) -> str:
    promo_code = NewPromoCode.parse(args)
    await create_promo_code(ctx.app, promo_code, ctx.user.id)
    until = format_day(ctx.user.language, promo_code.expires_at)
    return ctx.t("promo.made", promo_code.credits, code=promo_code.code, uses=promo_code.max_uses, day=until)


async def _list_promos(ctx: UserContext) -> str:
    codes = await latest_promos(ctx.app.db, limit=_MAX_LISTED)
    if not codes:
        return ctx.t("promo.none")
    lines = [ctx.t("promo.list")]
    for promo_code in codes:
        mark = "🟢" if promo_code.valid and promo_code.use_count < promo_code.max_uses else "⚪️"
        until = format_day(ctx.user.language, promo_code.expires_at)
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


async def _balance_line(ctx: UserContext) -> str:
    return ctx.t("balance.available", (await ctx.balance()).available)


def _keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    balance = button(ctx.t("button.balance"), MenuCallback(place="balance"))
    return keyboard([[balance, menu_button(ctx.app.texts, ctx.user.language)]])
