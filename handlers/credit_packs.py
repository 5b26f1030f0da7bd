"""The packs of credits, as buttons."""

from aiogram.types import InlineKeyboardMarkup

from handlers.context import Desk
from services.billing.payments import PACKS, pack_for
from services.messaging.buttons import TopupTap, button, keyboard, menu_button

_COLUMNS = 3


def packs_keyboard(desk: Desk, missing: int = 0) -> InlineKeyboardMarkup:
    """The packs; with credits missing, the one that just covers them first."""
    buttons = [button(f"{pack} ⭐", TopupTap(stars=pack)) for pack in PACKS]
    rows = [buttons[i : i + _COLUMNS] for i in range(0, len(buttons), _COLUMNS)]
    if missing > 0:
        pack = pack_for(missing)
        rows.insert(0, [button(desk.t("button.topup_for", stars=pack), TopupTap(stars=pack))])
    return keyboard([*rows, [menu_button(desk.studio.texts, desk.user.language)]])


def show_packs(desk: Desk) -> tuple[str, InlineKeyboardMarkup]:
    balance = desk.balance_on_arrival
    return f"{desk.t('balance.available', balance.available)}\n\n{desk.t('topup.ask')}", packs_keyboard(desk)
