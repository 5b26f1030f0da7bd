"""Whether a subscription goes on: one at a time, cancel, resume, and a word three days before it ends or renews.

https://core.telegram.org/bots/api#edituserstarsubscription
"""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from loguru import logger

from services.core.formatting import format_day
from services.messaging.app_context import AppContext
from services.messaging.buttons import MenuCallback
from services.notifications.notices import LocalizedButton
from services.notifications.notify import notify
from storage.money.subscriptions import (
    Subscription,
    current_subscription,
    expiring_subscriptions,
    mark_reminded,
    set_cancelled,
)
from storage.money.topups import get_topup
from storage.pool import Executor
from storage.users.users import get_user

REMINDER_LEAD_TIME: Final = timedelta(days=3)
_BATCH_SIZE: Final = 1000


def tier_name(studio: AppContext, language: str, tier: str) -> str:
    """The plan as people read it; one that there is no more by its id."""
    key = f"subscription.{tier}.name"
    return studio.texts.t(language, key) if studio.texts.has_key(key) else tier


async def monthly_stars(db: Executor, subscription: Subscription) -> int:
    """What Telegram takes each month: the price at which it was begun."""
    topup = await get_topup(db, subscription.id)
    assert topup is not None  # noqa: S101 - a subscription has the id of the topup that began it
    return topup.stars


async def subscription_refusal_key(db: Executor, user_id: int, payload: str) -> str | None:
    """The key of why this payment may not begin a subscription: another runs, or the link has done its work.

    None where nothing speaks against it, and for payments that are for something else.
    """
    try:
        topup = await get_topup(db, UUID(payload.partition(".")[0]))
    except ValueError:
        return None
    if topup is None or topup.tier is None:
        return None
    if await current_subscription(db, user_id):
        return "subscription.one_at_a_time"
    return "subscription.old_link" if topup.charge_id else None


async def set_renewal(studio: AppContext, subscription: Subscription, *, renews: bool) -> None:
    """Cancel a subscription, or let it go on. Raises TelegramAPIError where Telegram refuses.

    Telegram first: a subscription that we called cancelled and that is paid for again would be worse than one
    whose cancelling has to be tapped twice.
    """
    await studio.bot_or_default(subscription.bot_name).edit_user_star_subscription(
        user_id=subscription.user_id,
        telegram_payment_charge_id=subscription.charge_id,
        is_canceled=not renews,
    )
    if await set_cancelled(studio.db, subscription.id, subscription.user_id, cancelled=not renews):
        logger.info("subscription {} of {} renews: {}", subscription.id, subscription.user_id, renews)


async def send_subscription_reminders(studio: AppContext, scheduled_for: datetime) -> None:
    """The hourly chore: everybody whose subscription ends or renews within three days hears of it, once."""
    expiring = await expiring_subscriptions(
        studio.db, seconds=REMINDER_LEAD_TIME.total_seconds(), limit=_BATCH_SIZE
    )
    for subscription in expiring:
        await _remind(studio, subscription)
    if expiring:
        logger.info("{} people are told that their subscription ends or renews", len(expiring))


async def _remind(studio: AppContext, subscription: Subscription) -> None:
    user = await get_user(studio.db, subscription.user_id)
    assert user is not None  # noqa: S101 - the subscription refers to the person
    stars = None if subscription.cancelled else await monthly_stars(studio.db, subscription)
    tier = tier_name(studio, user.language, subscription.tier)
    async with studio.db.acquire() as connection, connection.transaction():
        if await mark_reminded(connection, subscription.id):
            await notify(
                connection,
                user_id=user.id,
                key="subscription.ends_soon" if subscription.cancelled else "subscription.renews_soon",
                n=stars,
                params={"plan": tier, "day": format_day(user.language, subscription.expires_at)},
                buttons=[LocalizedButton(key="button.subscribe", data=MenuCallback(place="subscribe").pack())],
                dedup_key=f"subscription:{subscription.id}:{subscription.expires_at.isoformat()}",
            )
