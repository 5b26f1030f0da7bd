"""Monthly plans: what there is, the one that runs, cancel and resume."""

import asyncio

from aiogram import F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message, PreCheckoutQuery
from loguru import logger

from handlers.context import UserContext, answer_callback
from handlers.order.views import View
from services.billing.payments import Payments
from services.billing.subscriptions import monthly_stars, set_renewal, subscription_refusal_key, tier_name
from services.billing.tiers import TIERS
from services.core.formatting import format_day
from services.messaging.buttons import MenuCallback, button, keyboard, menu_button
from storage.money.subscriptions import Subscription, current_subscription
from storage.users.users import accept_terms

router = Router(name="subscriptions")


class SubscriptionCallback(CallbackData, prefix="sub"):
    """`agree` with the terms; `cancel` or `resume` the subscription of that id."""

    action: str
    id: str = ""


@router.message(Command("subscribe", "subscription"))
async def _subscribe(message: Message, ctx: UserContext) -> None:
    await ctx.send(*await _subscription_view(ctx, agreed=ctx.user.terms_accepted))


@router.callback_query(MenuCallback.filter(F.place == "subscribe"))
async def _open_subscription(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _subscription_view(ctx, agreed=ctx.user.terms_accepted))


@router.callback_query(SubscriptionCallback.filter(F.action == "agree"))
async def _agree(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await accept_terms(ctx.app.db, ctx.user.id)
    await ctx.edit_or_send(callback, *await _subscription_view(ctx, agreed=True))


@router.callback_query(SubscriptionCallback.filter(F.action.in_({"cancel", "resume"})))
async def _cancel_or_resume(
    callback: CallbackQuery, callback_data: SubscriptionCallback, ctx: UserContext
) -> None:
    subscription, renews = await current_subscription(ctx.app.db, ctx.user.id), callback_data.action == "resume"
    if subscription is None or subscription.id.hex != callback_data.id:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    try:
        await set_renewal(ctx.app, subscription, renews=renews)
    except TelegramAPIError as error:
        logger.warning("subscription {}: Telegram refuses renews={}: {}", subscription.id, renews, error.message)
        await answer_callback(callback, ctx.t("subscription.refused"), alert=True)
        return
    await answer_callback(
        callback, ctx.t("subscription.resumed" if renews else "subscription.cancelled"), alert=renews
    )
    await ctx.edit_or_send(callback, *await _subscription_view(ctx, agreed=True))


async def would_be_second_subscription(query: PreCheckoutQuery, ctx: UserContext) -> dict[str, str] | bool:
    """A filter: whether this payment would begin a subscription that must not begin."""
    key = await subscription_refusal_key(ctx.app.db, ctx.user.id, query.invoice_payload)
    return {"refused": key} if key else False


@router.pre_checkout_query(would_be_second_subscription)
async def _refuse_second_subscription(query: PreCheckoutQuery, ctx: UserContext, refused: str) -> None:
    """Links that somebody still has from before. All else about a payment is handlers/billing/payments.py."""
    await query.answer(ok=False, error_message=ctx.t(refused))


async def _subscription_view(ctx: UserContext, *, agreed: bool) -> View:
    subscription = await current_subscription(ctx.app.db, ctx.user.id)
    if subscription is not None:
        return await _current_view(ctx, subscription)
    return await _tiers_view(ctx) if agreed else _terms_view(ctx)


async def _current_view(ctx: UserContext, subscription: Subscription) -> View:
    on = format_day(ctx.user.language, subscription.expires_at)
    lines = [ctx.t("subscription.running", plan=tier_name(ctx.app, ctx.user.language, subscription.tier))]
    if tier := TIERS.get(subscription.tier):
        lines.append(ctx.t("subscription.invoice", tier.credits, discount=tier.discount))
    if subscription.cancelled:
        lines += ["", ctx.t("subscription.ends", day=on)]
    else:
        stars = await monthly_stars(ctx.app.db, subscription)
        lines += ["", ctx.t("subscription.renews", stars, day=on), ctx.t("subscription.change")]
    action = "resume" if subscription.cancelled else "cancel"
    change = button(
        ctx.t(f"button.{action}_subscription"), SubscriptionCallback(action=action, id=subscription.id.hex)
    )
    return "\n".join(lines), keyboard([[change], _navigation_row(ctx)])


async def _tiers_view(ctx: UserContext) -> View:
    payments, language = Payments(ctx.app), ctx.user.language
    links = await asyncio.gather(
        *(
            payments.subscription_link(plan, user_id=ctx.user.id, bot_name=ctx.bot_name, language=language)
            for plan in TIERS.values()
        )
    )
    names = [tier_name(ctx.app, language, plan.id) for plan in TIERS.values()]
    rows = [
        [InlineKeyboardButton(text=ctx.t("button.plan", plan=name, stars=plan.stars), url=link)]
        for plan, name, link in zip(TIERS.values(), names, links, strict=True)
    ]
    return _tiers_text(ctx), keyboard([*rows, _navigation_row(ctx)])


def _terms_view(ctx: UserContext) -> View:
    text = f"{_tiers_text(ctx)}\n\n{ctx.t('terms.text')}\n\n{ctx.t('terms.ask')}"
    return text, keyboard(
        [[button(ctx.t("button.agree"), SubscriptionCallback(action="agree"))], _navigation_row(ctx)]
    )


def _tiers_text(ctx: UserContext) -> str:
    blocks = [ctx.t("subscription.about")]
    for plan in TIERS.values():
        name = tier_name(ctx.app, ctx.user.language, plan.id)
        what = ctx.t("subscription.invoice", plan.credits, discount=plan.discount)
        blocks.append(f"{ctx.t('subscription.offer', plan=name, stars=plan.stars)}\n{what}")
    return "\n\n".join(blocks)


def _navigation_row(ctx: UserContext) -> list[InlineKeyboardButton]:
    balance = button(ctx.t("button.balance"), MenuCallback(place="balance"))
    return [balance, menu_button(ctx.app.texts, ctx.user.language)]
