"""The credit packs as buttons."""

from typing import Final

from aiogram.types import InlineKeyboardMarkup

from handlers.context import UserContext, View
from handlers.views import menu_row
from services.billing.payments import CREDIT_PACKS, pack_for
from services.messaging.buttons import TopupCallback, button, keyboard

_COLUMNS: Final = 3


def packs_keyboard(ctx: UserContext, missing: int = 0) -> InlineKeyboardMarkup:
    """The credit packs as buttons, and the menu button.

    Args:
        ctx: The user.
        missing: How many credits an order lacks. If above 0, a button for the pack that covers them comes first.
    """
    buttons = [button(f"{pack} ⭐", TopupCallback(stars=pack)) for pack in CREDIT_PACKS]
    rows = [buttons[i : i + _COLUMNS] for i in range(0, len(buttons), _COLUMNS)]
    if missing > 0:
        pack = pack_for(missing)
        rows.insert(0, [button(ctx.t("button.topup_for", stars=pack), TopupCallback(stars=pack))])
    return keyboard([*rows, menu_row(ctx)])


def packs_view(ctx: UserContext) -> View:
    """The balance, and the credit packs to choose from."""
    available = ctx.balance_on_arrival.available
    return f"{ctx.t('balance.available', available)}\n\n{ctx.t('topup.ask')}", packs_keyboard(ctx)
