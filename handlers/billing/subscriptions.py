"""Monthly plans: what there is, the one that runs, cancel and resume."""

import asyncio

from aiogram import F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message, PreCheckoutQuery
from loguru import logger

from handlers.context import Desk, answer
from handlers.order.views import View
from services.billing.payments import Payments
from services.billing.subscriptions import monthly_stars, plan_name, refusal, set_renewal
from services.billing.tiers import PLANS
from services.core.formatting import day
from services.messaging.buttons import MenuTap, button, keyboard, menu_button
from storage.money.subscriptions import Subscription, current_subscription
from storage.users.users import accept_terms

router = Router(name="subscriptions")


class SubscriptionTap(CallbackData, prefix="sub"):
    """`agree` with the terms; `cancel` or `resume` the subscription of that id."""

    action: str
    id: str = ""


@router.message(Command("subscribe", "subscription"))
async def subscribe(message: Message, desk: Desk) -> None:
    await desk.say(*await _view(desk, agreed=desk.user.terms_accepted))


@router.callback_query(MenuTap.filter(F.place == "subscribe"))
async def go_to_subscription(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await desk.show(tap, *await _view(desk, agreed=desk.user.terms_accepted))


@router.callback_query(SubscriptionTap.filter(F.action == "agree"))
async def agree(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap)
    await accept_terms(desk.studio.db, desk.user.id)
    await desk.show(tap, *await _view(desk, agreed=True))


@router.callback_query(SubscriptionTap.filter(F.action.in_({"cancel", "resume"})))
async def cancel_or_resume(tap: CallbackQuery, callback_data: SubscriptionTap, desk: Desk) -> None:
    running, renews = await current_subscription(desk.studio.db, desk.user.id), callback_data.action == "resume"
    if running is None or running.id.hex != callback_data.id:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    try:
        await set_renewal(desk.studio, running, renews=renews)
    except TelegramAPIError as error:
        logger.warning("subscription {}: Telegram refuses renews={}: {}", running.id, renews, error.message)
        await answer(tap, desk.t("subscription.refused"), alert=True)
        return
    await answer(tap, desk.t("subscription.resumed" if renews else "subscription.cancelled"), alert=renews)
    await desk.show(tap, *await _view(desk, agreed=True))


async def second_plan(query: PreCheckoutQuery, desk: Desk) -> dict[str, str] | bool:
    """A filter: whether this payment would begin a subscription that must not begin."""
    key = await refusal(desk.studio.db, desk.user.id, query.invoice_payload)
    return {"refused": key} if key else False


@router.pre_checkout_query(second_plan)
async def refuse_second_plan(query: PreCheckoutQuery, desk: Desk, refused: str) -> None:
    """Links that somebody still has from before. All else about a payment is handlers/billing/payments.py."""
    await query.answer(ok=False, error_message=desk.t(refused))


async def _view(desk: Desk, *, agreed: bool) -> View:
    running = await current_subscription(desk.studio.db, desk.user.id)
    if running is not None:
        return await _card(desk, running)
    return await _offers(desk) if agreed else _terms_first(desk)


async def _card(desk: Desk, running: Subscription) -> View:
    on = day(desk.user.language, running.expires_at)
    lines = [desk.t("subscription.running", plan=plan_name(desk.studio, desk.user.language, running.plan))]
    if plan := PLANS.get(running.plan):
        lines.append(desk.t("subscription.invoice", plan.credits, discount=plan.discount))
    if running.cancelled:
        lines += ["", desk.t("subscription.ends", day=on)]
    else:
        stars = await monthly_stars(desk.studio.db, running)
        lines += ["", desk.t("subscription.renews", stars, day=on), desk.t("subscription.change")]
    action = "resume" if running.cancelled else "cancel"
    change = button(desk.t(f"button.{action}_subscription"), SubscriptionTap(action=action, id=running.id.hex))
    return "\n".join(lines), keyboard([[change], _ways_out(desk)])


async def _offers(desk: Desk) -> View:
    payments, language = Payments(desk.studio), desk.user.language
    links = await asyncio.gather(
        *(
            payments.subscription_link(plan, user_id=desk.user.id, bot_name=desk.bot_name, language=language)
            for plan in PLANS.values()
        )
    )
    names = [plan_name(desk.studio, language, plan.id) for plan in PLANS.values()]
    rows = [
        [InlineKeyboardButton(text=desk.t("button.plan", plan=name, stars=plan.stars), url=link)]
        for plan, name, link in zip(PLANS.values(), names, links, strict=True)
    ]
    return _plans_text(desk), keyboard([*rows, _ways_out(desk)])


def _terms_first(desk: Desk) -> View:
    text = f"{_plans_text(desk)}\n\n{desk.t('terms.text')}\n\n{desk.t('terms.ask')}"
    return text, keyboard([[button(desk.t("button.agree"), SubscriptionTap(action="agree"))], _ways_out(desk)])


def _plans_text(desk: Desk) -> str:
    blocks = [desk.t("subscription.about")]
    for plan in PLANS.values():
        name = plan_name(desk.studio, desk.user.language, plan.id)
        what = desk.t("subscription.invoice", plan.credits, discount=plan.discount)
        blocks.append(f"{desk.t('subscription.offer', plan=name, stars=plan.stars)}\n{what}")
    return "\n\n".join(blocks)


def _ways_out(desk: Desk) -> list[InlineKeyboardButton]:
    balance = button(desk.t("button.balance"), MenuTap(place="balance"))
    return [balance, menu_button(desk.studio.texts, desk.user.language)]
