"""Buying credits: the packs, the terms, the invoice, Telegram's question before the payment, and the payment."""

from typing import Any

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message, PreCheckoutQuery

from handlers.context import UserContext, answer_callback
from handlers.credit_packs import packs_keyboard, packs_view
from handlers.order.draft import load_draft
from handlers.order.views import price_of
from handlers.order.wizard import show_accepted
from services.billing.payments import CREDIT_PACKS, Payments, to_received_payment
from services.core.errors import InsufficientCredits, InvalidRequest
from services.dispatch import Order
from services.messaging.buttons import MenuCallback, TopupCallback, button, keyboard, menu_button
from storage.jobs.jobs import get_job_by_order_key
from storage.users.users import accept_terms

router = Router(name="payments")


@router.message(Command("topup"))
async def _topup(message: Message, ctx: UserContext) -> None:
    await ctx.send(*packs_view(ctx))


@router.callback_query(MenuCallback.filter(F.place == "topup"))
async def _open_topup(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *packs_view(ctx))


@router.callback_query(TopupCallback.filter())
async def _choose_pack(
    callback: CallbackQuery, callback_data: TopupCallback, ctx: UserContext, state: FSMContext
) -> None:
    if callback_data.stars not in CREDIT_PACKS:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    if callback_data.agreed:
        await accept_terms(ctx.app.db, ctx.user.id)
    elif not ctx.user.terms_accepted:
        agree = button(ctx.t("button.agree"), TopupCallback(stars=callback_data.stars, agreed=True))
        back = menu_button(ctx.app.texts, ctx.user.language)
        await ctx.send(f"{ctx.t('terms.text')}\n\n{ctx.t('terms.ask')}", keyboard([[agree], [back]]))
        return
    await Payments(ctx.app).send_invoice(
        user_id=ctx.user.id,
        bot_name=ctx.bot_name,
        chat_id=ctx.chat_id,
        language=ctx.user.language,
        stars=callback_data.stars,
        pending_order=await _unaffordable_order(ctx, state),
    )


@router.pre_checkout_query()
async def _pre_checkout(query: PreCheckoutQuery, ctx: UserContext) -> None:
    refusal = await Payments(ctx.app).validate_checkout(query, ctx.bot_name)
    if refusal is None:
        await query.answer(ok=True)
    else:
        await query.answer(ok=False, error_message=ctx.t(refusal))


@router.message(F.successful_payment)
async def _successful_payment(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Credit it, and let the order that it was for go on. The thanks are an errand's (errands/payment.py)."""
    assert message.successful_payment  # noqa: S101 - the filter says so
    payment, payments = to_received_payment(message.successful_payment, ctx.user.id), Payments(ctx.app)
    await payments.credit(payment, bot_name=ctx.bot_name)
    ctx.dispatcher.publisher.wake()
    if pending := await payments.get_pending_order(payment, bot_name=ctx.bot_name):
        await _resume_order(ctx, state, pending)


async def _unaffordable_order(ctx: UserContext, state: FSMContext) -> dict[str, Any] | None:
    """The order whose card is open and that costs more than there is: it goes on when this is paid."""
    draft = await load_draft(state)
    if draft is None or draft.spec.first_missing(draft.values) is not None:
        return None
    if price_of(ctx, draft) <= ctx.initial_balance.available:
        return None
    return {"key": draft.order_key(ctx.user.id), "service": draft.service, "inputs": draft.values}


async def _resume_order(ctx: UserContext, state: FSMContext, pending: dict[str, Any]) -> None:
    if await get_job_by_order_key(ctx.app.db, pending["key"]):
        return  # this update came before
    progress = await ctx.send(ctx.t("topup.goes_on"))
    order = Order(
        **pending,
        user_id=ctx.user.id,
        bot_name=ctx.bot_name,
        chat_id=ctx.chat_id,
        language=ctx.user.language,
        progress_message_id=progress.message_id,
        discount_percent=ctx.user.discount,
    )
    try:
        accepted = await ctx.dispatcher.dispatch(order)
    except InsufficientCredits as short:
        await ctx.send(ctx.t("order.missing", short.missing_credits), packs_keyboard(ctx, short.missing_credits))
    except InvalidRequest as refused:
        await ctx.send(ctx.t(refused.key, **refused.params))
    else:
        await state.clear()
        await show_accepted(ctx, accepted)
