"""The packs of credits, as buttons."""

from aiogram.types import InlineKeyboardMarkup

from handlers.context import UserContext
from services.billing.payments import CREDIT_PACKS, pack_for
from services.messaging.buttons import TopupCallback, button, keyboard, menu_button

_COLUMNS = 3


def packs_keyboard(ctx: UserContext, missing: int = 0) -> InlineKeyboardMarkup:
    """The packs; with credits missing, the one that just covers them first."""
    buttons = [button(f"{pack} ⭐", TopupCallback(stars=pack)) for pack in CREDIT_PACKS]
    rows = [buttons[i : i + _COLUMNS] for i in range(0, len(buttons), _COLUMNS)]
    if missing > 0:
        pack = pack_for(missing)
        rows.insert(0, [button(ctx.t("button.topup_for", stars=pack), TopupCallback(stars=pack))])
    return keyboard([*rows, [menu_button(ctx.app.texts, ctx.user.language)]])


def packs_view(ctx: UserContext) -> tuple[str, InlineKeyboardMarkup]:
    balance = ctx.initial_balance
    return f"{ctx.t('balance.available', balance.available)}\n\n{ctx.t('topup.ask')}", packs_keyboard(ctx)
