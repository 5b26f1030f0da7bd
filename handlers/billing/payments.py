"""Buying credits: the packs, the terms, the invoice, Telegram's question before the payment, and the payment."""

from typing import Any

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message, PreCheckoutQuery

from handlers.context import Desk, answer
from handlers.credit_packs import packs_keyboard, show_packs
from handlers.order.draft import load_draft
from handlers.order.views import price_of
from handlers.order.wizard import show_accepted
from services.billing.payments import PACKS, Payments, charge_of
from services.core.errors import NotEnough, Refused
from services.dispatch import Order
from services.messaging.buttons import MenuTap, TopupTap, button, keyboard, menu_button
from storage.jobs.jobs import get_job_by_order
from storage.users.users import accept_terms

router = Router(name="payments")


@router.message(Command("topup"))
async def topup(message: Message, desk: Desk) -> None:
    await desk.say(*show_packs(desk))


@router.callback_query(MenuTap.filter(F.place == "topup"))
async def go_to_topup(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *show_packs(desk))


@router.callback_query(TopupTap.filter())
async def choose_pack(tap: CallbackQuery, callback_data: TopupTap, desk: Desk, state: FSMContext) -> None:
    if callback_data.stars not in PACKS:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    if callback_data.agreed:
        await accept_terms(desk.studio.db, desk.user.id)
    elif not desk.user.terms_accepted:
        agree = button(desk.t("button.agree"), TopupTap(stars=callback_data.stars, agreed=True))
        back = menu_button(desk.studio.texts, desk.user.language)
        await desk.say(f"{desk.t('terms.text')}\n\n{desk.t('terms.ask')}", keyboard([[agree], [back]]))
        return
    await Payments(desk.studio).send_invoice(
        user_id=desk.user.id,
        bot_name=desk.bot_name,
        chat_id=desk.chat_id,
        language=desk.user.language,
        stars=callback_data.stars,
        resume=await _short_order(desk, state),
    )


@router.pre_checkout_query()
async def before_payment(query: PreCheckoutQuery, desk: Desk) -> None:
    refusal = await Payments(desk.studio).check(query, desk.bot_name)
    if refusal is None:
        await query.answer(ok=True)
    else:
        await query.answer(ok=False, error_message=desk.t(refusal))


@router.message(F.successful_payment)
async def paid(message: Message, desk: Desk, state: FSMContext) -> None:
    """Credit it, and let the order that it was for go on. The thanks are an errand's (errands/payment.py)."""
    assert message.successful_payment  # noqa: S101 - the filter says so
    charge, payments = charge_of(message.successful_payment, desk.user.id), Payments(desk.studio)
    await payments.credit(charge, bot_name=desk.bot_name)
    desk.dispatcher.relay.poke()
    if resume := await payments.resumed(charge, bot_name=desk.bot_name):
        await _go_on(desk, state, resume)


async def _short_order(desk: Desk, state: FSMContext) -> dict[str, Any] | None:
    """The order whose card is open and that costs more than there is: it goes on when this is paid."""
    draft = await load_draft(state)
    if draft is None or draft.spec.missing(draft.values) is not None:
        return None
    if price_of(desk, draft) <= desk.balance_on_arrival.available:
        return None
    return {"key": draft.order_key(desk.user.id), "service": draft.service, "inputs": draft.values}


async def _go_on(desk: Desk, state: FSMContext, resume: dict[str, Any]) -> None:
    if await get_job_by_order(desk.studio.db, resume["key"]):
        return  # this update came before
    shown = await desk.say(desk.t("topup.goes_on"))
    order = Order(
        **resume,
        user_id=desk.user.id,
        bot_name=desk.bot_name,
        chat_id=desk.chat_id,
        language=desk.user.language,
        progress_message_id=shown.message_id,
        discount=desk.user.discount,
    )
    try:
        accepted = await desk.dispatcher.dispatch(order)
    except NotEnough as short:
        await desk.say(desk.t("order.missing", short.missing), packs_keyboard(desk, short.missing))
    except Refused as refused:
        await desk.say(desk.t(refused.key, **refused.params))
    else:
        await state.clear()
        await show_accepted(desk, accepted)
