"""Whether a subscription goes on: one at a time, cancel, resume, and a word three days before it ends or renews.

https://core.telegram.org/bots/api#edituserstarsubscription
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from aiogram.exceptions import TelegramAPIError
from aiogram.types import InlineKeyboardMarkup
from loguru import logger

from services.buttons import MenuTap, button, keyboard, menu_button
from services.dates import day
from services.errors import Away
from services.studio import Studio
from services.telegram_errors import delivery_failure, person_is_gone
from storage.pool import Executor
from storage.subscriptions import (
    Subscription,
    current_subscription,
    expiring_subscriptions,
    mark_told,
    set_cancelled,
)
from storage.topups import get_topup
from storage.users import get_user

TOLD_AHEAD: Final = timedelta(days=3)
_AT_ONCE: Final = 1000


def plan_name(studio: Studio, language: str, plan: str) -> str:
    """The plan as people read it; one that there is no more by its id."""
    key = f"subscription.{plan}.name"
    return studio.texts.t(language, key) if studio.texts.has(key) else plan


async def monthly_stars(db: Executor, subscription: Subscription) -> int:
    """What Telegram takes each month: the price at which it was begun."""
    topup = await get_topup(db, subscription.id)
    assert topup is not None  # noqa: S101 - a subscription has the id of the topup that began it
    return topup.stars


async def refusal(db: Executor, user_id: int, payload: str) -> str | None:
    """The key of why this payment may not begin a subscription: another runs, or the link has done its work.

    None where nothing speaks against it, and for payments that are for something else.
    """
    try:
        topup = await get_topup(db, UUID(payload.partition(".")[0]))
    except ValueError:
        return None
    if topup is None or topup.subscription is None:
        return None
    if await current_subscription(db, user_id):
        return "subscription.one_at_a_time"
    return "subscription.old_link" if topup.charge_id else None


async def set_renewal(studio: Studio, subscription: Subscription, *, renews: bool) -> None:
    """Cancel a subscription, or let it go on. Raises TelegramAPIError where Telegram refuses.

    Telegram first: a subscription that we called cancelled and that is paid for again would be worse than one
    whose cancelling has to be tapped twice.
    """
    await studio.bot(subscription.bot_name).edit_user_star_subscription(
        user_id=subscription.user_id,
        telegram_payment_charge_id=subscription.charge_id,
        is_canceled=not renews,
    )
    if await set_cancelled(studio.db, subscription.id, subscription.user_id, cancelled=not renews):
        logger.info("subscription {} of {} renews: {}", subscription.id, subscription.user_id, renews)


async def tell_ends(studio: Studio, slot: datetime) -> None:
    """The hourly chore: everybody whose subscription ends or renews within three days hears of it, once.

    Raises Failure where Telegram is away; who was not told by then is told at the next try.
    """
    coming = await expiring_subscriptions(studio.db, seconds=TOLD_AHEAD.total_seconds(), limit=_AT_ONCE)
    for subscription in coming:
        await _tell(studio, subscription)
    if coming:
        logger.info("{} people are told that their subscription ends or renews", len(coming))


async def _tell(studio: Studio, subscription: Subscription) -> None:
    user = await get_user(studio.db, subscription.user_id)
    assert user is not None  # noqa: S101 - the subscription refers to the person
    text = await _text(studio, subscription, user.language)
    # The message goes out inside the transaction: where it fails, the person counts as not told.
    async with studio.db.acquire() as connection, connection.transaction():
        if await mark_told(connection, subscription.id):
            await _send(studio, subscription, text, _buttons(studio, user.language))


async def _text(studio: Studio, subscription: Subscription, language: str) -> str:
    plan = plan_name(studio, language, subscription.plan)
    on = day(language, subscription.expires_at)
    if subscription.cancelled:
        return studio.texts.t(language, "subscription.ends_soon", plan=plan, day=on)
    stars = await monthly_stars(studio.db, subscription)
    return studio.texts.t(language, "subscription.renews_soon", stars, plan=plan, day=on)


def _buttons(studio: Studio, language: str) -> InlineKeyboardMarkup:
    look = button(studio.texts.t(language, "button.subscribe"), MenuTap(place="subscribe"))
    return keyboard([[look], [menu_button(studio.texts, language)]])


async def _send(studio: Studio, subscription: Subscription, text: str, markup: InlineKeyboardMarkup) -> None:
    bot = studio.bot(subscription.bot_name)
    try:
        await bot.send_message(subscription.user_id, text, reply_markup=markup)
    except TelegramAPIError as error:
        if person_is_gone(error):
            logger.info("person {} is gone and not told of the end: {}", subscription.user_id, error.message)
            return
        failure = delivery_failure(error)
        if isinstance(failure, Away):
            raise failure from error
        logger.error("person {} was not told of the end: {}", subscription.user_id, error.message)
