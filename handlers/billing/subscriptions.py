"""Subscriptions: showing the tiers or the current subscription, cancelling and resuming it."""

import asyncio

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message, PreCheckoutQuery
from loguru import logger

from handlers.context import UserContext, View, answer_callback, answer_stale
from handlers.views import menu_row
from services.billing.subscriptions import (
    TIERS,
    get_running_subscription,
    monthly_price,
    set_renewal,
    subscription_refusal_key,
    tier_name,
)
from services.core.formatting import format_day
from services.messaging.buttons import MenuCallback, button, keyboard
from services.messaging.stars import StarsError
from services.users.profile import accept_terms
from storage.money.subscriptions import Subscription

router = Router(name="subscriptions")


class SubscriptionCallback(CallbackData, prefix="sub"):
    """A button about subscriptions.

    Attributes:
        action: `agree` to the terms, `cancel` or `resume`.
        id: The subscription to cancel or resume, so that buttons of an older one are recognized.
    """

    action: str
    id: str = ""


@router.message(Command("subscribe", "subscription"))
async def _subscribe(message: Message, ctx: UserContext) -> None:
    """Show the subscription tiers, or the current subscription with its cancel or resume button."""
    await ctx.send(*await _subscription_view(ctx, agreed=ctx.user.terms_accepted))


@router.callback_query(MenuCallback.filter(F.place == "subscribe"))
async def _open_subscription(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await ctx.edit_or_send(callback, *await _subscription_view(ctx, agreed=ctx.user.terms_accepted))


@router.callback_query(SubscriptionCallback.filter(F.action == "agree"))
async def _agree(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback)
    await accept_terms(ctx.db, ctx.user.id)
    await ctx.edit_or_send(callback, *await _subscription_view(ctx, agreed=True))


@router.callback_query(SubscriptionCallback.filter(F.action.in_({"cancel", "resume"})))
async def _cancel_or_resume(
    callback: CallbackQuery, callback_data: SubscriptionCallback, ctx: UserContext
) -> None:
    subscription, renews = await get_running_subscription(ctx.db, ctx.user.id), callback_data.action == "resume"
    if subscription is None or subscription.id.hex != callback_data.id:
        await answer_stale(callback, ctx)
        return
    try:
        await set_renewal(ctx.db, ctx.stars, subscription, renews=renews)
    except StarsError as error:
        logger.warning(
            "subscription change refused by Telegram",
            subscription=subscription.id,
            action=callback_data.action,
            error=error,
        )
        await answer_callback(callback, ctx.t("subscription.refused"), alert=True)
        return
    await answer_callback(
        callback, ctx.t("subscription.resumed" if renews else "subscription.cancelled"), alert=renews
    )
    await ctx.edit_or_send(callback, *await _subscription_view(ctx, agreed=True))


async def _would_be_second_subscription(query: PreCheckoutQuery, ctx: UserContext) -> dict[str, str] | bool:
    """A filter: whether this payment would start a subscription that is not allowed. `refusal_key` says why."""
    key = await subscription_refusal_key(ctx.db, ctx.user.id, query.invoice_payload)
    return {"refusal_key": key} if key else False


@router.pre_checkout_query(_would_be_second_subscription)
async def _refuse_second_subscription(query: PreCheckoutQuery, ctx: UserContext, refusal_key: str) -> None:
    """Refuse payments by an older link. All other payments are handled in handlers/billing/payments.py."""
    await query.answer(ok=False, error_message=ctx.t(refusal_key))


async def _subscription_view(ctx: UserContext, *, agreed: bool) -> View:
    subscription = await get_running_subscription(ctx.db, ctx.user.id)
    if subscription is not None:
        return await _current_view(ctx, subscription)
    return await _tiers_view(ctx) if agreed else _terms_view(ctx)


async def _current_view(ctx: UserContext, subscription: Subscription) -> View:
    day = format_day(ctx.language, subscription.expires_at)
    lines = [ctx.t("subscription.running", plan=tier_name(ctx.texts, ctx.language, subscription.tier))]
    if tier := TIERS.get(subscription.tier):
        lines.append(ctx.t("subscription.invoice", tier.credits, discount=tier.discount))
    if subscription.cancelled:
        lines += ["", ctx.t("subscription.ends", day=day)]
    else:
        stars = await monthly_price(ctx.db, subscription)
        lines += ["", ctx.t("subscription.renews", stars, day=day), ctx.t("subscription.change")]
    action = "resume" if subscription.cancelled else "cancel"
    change = button(
        ctx.t(f"button.{action}_subscription"), SubscriptionCallback(action=action, id=subscription.id.hex)
    )
    return "\n".join(lines), keyboard([[change], _navigation_row(ctx)])


async def _tiers_view(ctx: UserContext) -> View:
    links = await asyncio.gather(
        *(
            ctx.payments.subscription_link(tier, user_id=ctx.user.id, bot_name=ctx.bot_name, language=ctx.language)
            for tier in TIERS.values()
        )
    )
    rows = []
    for tier, link in zip(TIERS.values(), links, strict=True):
        name = tier_name(ctx.texts, ctx.language, tier.id)
        rows.append([InlineKeyboardButton(text=ctx.t("button.plan", plan=name, stars=tier.stars), url=link)])
    return _tiers_text(ctx), keyboard([*rows, _navigation_row(ctx)])


def _terms_view(ctx: UserContext) -> View:
    text = f"{_tiers_text(ctx)}\n\n{ctx.t('terms.text')}\n\n{ctx.t('terms.ask')}"
    return text, keyboard(
        [[button(ctx.t("button.agree"), SubscriptionCallback(action="agree"))], _navigation_row(ctx)]
    )


def _tiers_text(ctx: UserContext) -> str:
    blocks = [ctx.t("subscription.about")]
    for tier in TIERS.values():
        name = tier_name(ctx.texts, ctx.language, tier.id)
        contents = ctx.t("subscription.invoice", tier.credits, discount=tier.discount)
        blocks.append(f"{ctx.t('subscription.offer', plan=name, stars=tier.stars)}\n{contents}")
    return "\n\n".join(blocks)


def _navigation_row(ctx: UserContext) -> list[InlineKeyboardButton]:
    balance = button(ctx.t("button.balance"), MenuCallback(place="balance"))
    return [balance, *menu_row(ctx)]
