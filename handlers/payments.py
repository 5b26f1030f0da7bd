"""Buying credits: the packs, the invoice, Telegram's question before the payment, and the payment."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message, PreCheckoutQuery

from handlers.context import Desk, answer
from services.buttons import MenuTap, TopupTap, button, keyboard, menu_button
from services.payments import PACKS, Payments, charge_of, pack_for

router = Router(name="payments")
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


@router.message(Command("topup"))
async def topup(message: Message, desk: Desk) -> None:
    await desk.say(*show_packs(desk))


@router.callback_query(MenuTap.filter(F.place == "topup"))
async def go_to_topup(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *show_packs(desk))


@router.callback_query(TopupTap.filter())
async def choose_pack(tap: CallbackQuery, callback_data: TopupTap, desk: Desk) -> None:
    if callback_data.stars not in PACKS:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    await Payments(desk.studio).send_invoice(
        user_id=desk.user.id,
        bot_name=desk.bot_name,
        chat_id=desk.chat_id,
        language=desk.user.language,
        stars=callback_data.stars,
    )


@router.pre_checkout_query()
async def before_payment(query: PreCheckoutQuery, desk: Desk) -> None:
    refusal = await Payments(desk.studio).check(query, desk.bot_name)
    if refusal is None:
        await query.answer(ok=True)
    else:
        await query.answer(ok=False, error_message=desk.t(refusal))


@router.message(F.successful_payment)
async def paid(message: Message, desk: Desk) -> None:
    assert message.successful_payment  # noqa: S101 - the filter says so
    charge = charge_of(message.successful_payment, desk.user.id)
    if await Payments(desk.studio).credit(charge, bot_name=desk.bot_name):
        balance = await desk.balance()
        thanks = desk.t("topup.thanks", charge.stars)
        await desk.say(
            f"{thanks}\n{desk.t('balance.available', balance.available)}",
            keyboard([[menu_button(desk.studio.texts, desk.user.language)]]),
        )
