"""Buying credits: the credit packs, the terms, the invoice, Telegram's pre-checkout query, and the payment."""

from datetime import UTC, datetime
from typing import Any

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message, PreCheckoutQuery, SuccessfulPayment

from handlers.context import UserContext, answer_callback, answer_stale
from handlers.credit_packs import packs_keyboard, packs_view
from handlers.filters import Matches
from handlers.order.draft import load_draft
from handlers.order.views import price_of
from handlers.order.wizard import show_accepted
from handlers.views import menu_row
from services.billing.payments import CREDIT_PACKS, Checkout, ReceivedPayment
from services.core.errors import InsufficientCredits, InvalidRequest
from services.history.orders import was_ordered
from services.messaging.buttons import MenuCallback, TopupCallback, button, keyboard
from services.users.profile import accept_terms

router = Router(name="payments")


@router.message(Command("topup"))
async def _topup(message: Message, ctx: UserContext) -> None:
    """Show the credit packs, which are paid for in Telegram Stars."""
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
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    if callback_data.agreed:
        await accept_terms(ctx.db, ctx.user.id)
    elif not ctx.user.terms_accepted:
        agree = button(ctx.t("button.agree"), TopupCallback(stars=callback_data.stars, agreed=True))
        await ctx.send(f"{ctx.t('terms.text')}\n\n{ctx.t('terms.ask')}", keyboard([[agree], menu_row(ctx)]))
        return
    await ctx.payments.send_invoice(
        user_id=ctx.user.id,
        bot_name=ctx.bot_name,
        chat_id=ctx.chat_id,
        language=ctx.language,
        stars=callback_data.stars,
        pending_order=await _unaffordable_order(ctx, state),
    )


@router.pre_checkout_query()
async def _pre_checkout(query: PreCheckoutQuery, ctx: UserContext) -> None:
    checkout = Checkout(query.from_user.id, query.currency, query.total_amount, query.invoice_payload)
    refusal_key = await ctx.payments.validate_checkout(checkout, ctx.bot_name)
    if refusal_key is None:
        await query.answer(ok=True)
    else:
        await query.answer(ok=False, error_message=ctx.t(refusal_key))


@router.message(Matches(F.successful_payment))
async def _successful_payment(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Credit the payment, and place the order that it was for.

    An internal job sends the thanks (services/billing/payment_followup.py).
    """
    assert message.successful_payment  # noqa: S101 - the filter says so
    payment, payments = _to_received_payment(message.successful_payment, ctx.user.id), ctx.payments
    await payments.credit(payment, bot_name=ctx.bot_name)
    ctx.publisher.wake()
    if pending_order := await payments.get_pending_order(payment, bot_name=ctx.bot_name):
        await _resume_order(ctx, state, pending_order)


def _to_received_payment(payment: SuccessfulPayment, user_id: int) -> ReceivedPayment:
    """Convert Telegram's payment from aiogram's type: https://core.telegram.org/bots/api#successfulpayment"""
    expires_at = payment.subscription_expiration_date
    return ReceivedPayment(
        payment.telegram_payment_charge_id,
        user_id,
        payment.total_amount,
        payment.invoice_payload,
        recurring=bool(payment.is_recurring and not payment.is_first_recurring),
        expires_at=datetime.fromtimestamp(expires_at, UTC) if expires_at else None,
    )


async def _unaffordable_order(ctx: UserContext, state: FSMContext) -> dict[str, Any] | None:
    """The order on the open card if the user cannot afford it. It is placed once the invoice is paid."""
    draft = await load_draft(state)
    if draft is None or draft.spec.first_missing(draft.values) is not None:
        return None
    if price_of(ctx, draft) <= ctx.balance_on_arrival.available:
        return None
    return {"key": draft.order_key(ctx.user.id), "service": draft.service, "inputs": draft.values}


async def _resume_order(ctx: UserContext, state: FSMContext, pending_order: dict[str, Any]) -> None:
    if await was_ordered(ctx.db, pending_order["key"]):
        return  # this update was handled before
    progress = await ctx.send(ctx.t("topup.goes_on"))
    try:
        order = ctx.build_order(**pending_order, progress_message_id=progress.message_id)
        accepted = await ctx.dispatcher.dispatch(order)
    except InsufficientCredits as failure:
        missing = failure.missing_credits
        await ctx.send(ctx.t("order.missing", missing), packs_keyboard(ctx, missing))
    except InvalidRequest as failure:
        await ctx.send(ctx.failure_text(failure))
    else:
        await state.clear()
        await show_accepted(ctx, accepted)
