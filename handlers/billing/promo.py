"""Promo codes: people redeem them; for those who run the bot, also making and listing them."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import InlineKeyboardMarkup, Message

from handlers.context import Desk
from services.billing.promo_codes import NewPromo, create, redeem
from services.core.errors import Refused
from services.core.formatting import day
from services.messaging.buttons import MenuTap, button, keyboard, menu_button
from storage.money.promo_codes import latest_promos

router = Router(name="promo")
_LISTED = 30


@router.message(Command("promo"))
async def promo(message: Message, desk: Desk, command: CommandObject) -> None:
    words = (command.args or "").split()
    runs_the_bot = desk.user.id in desk.studio.admins
    try:
        if runs_the_bot and words[:1] == ["new"]:
            text = await _new(desk, words[1:])
        elif runs_the_bot and words == ["list"]:
            text = await _list(desk)
        elif not words:
            text = desk.t("promo.usage" if runs_the_bot else "promo.ask")
        else:
            given = await redeem(desk.studio, " ".join(words), desk.user.id)
            text = f"{desk.t('promo.redeemed', given)}\n{await _balance(desk)}"
    except Refused as refused:
        text = desk.t(refused.key, **refused.params)
    await desk.say(text, _keyboard(desk))


async def _new(desk: Desk, words: list[str]) -> str:
    made = NewPromo.parse(words)
    await create(desk.studio, made, desk.user.id)
    until = day(desk.user.language, made.until)
    return desk.t("promo.made", made.credits, code=made.code, uses=made.uses, day=until)


async def _list(desk: Desk) -> str:
    codes = await latest_promos(desk.studio.db, limit=_LISTED)
    if not codes:
        return desk.t("promo.none")
    lines = [desk.t("promo.list")]
    for each in codes:
        mark = "🟢" if each.valid and each.used < each.uses else "⚪️"
        until = day(desk.user.language, each.until)
        line = desk.t("promo.line", code=each.code, stars=each.credits, used=each.used, uses=each.uses, day=until)
        lines.append(f"{mark} {line}")
    return "\n".join(lines)


async def _balance(desk: Desk) -> str:
    return desk.t("balance.available", (await desk.balance()).available)


def _keyboard(desk: Desk) -> InlineKeyboardMarkup:
    balance = button(desk.t("button.balance"), MenuTap(place="balance"))
    return keyboard([[balance, menu_button(desk.studio.texts, desk.user.language)]])
