"""Subscriptions: tiers that include credits every month and a discount on every order, one subscription per user.

Telegram takes the Stars of each month by itself: https://core.telegram.org/bots/payments-stars#star-subscriptions
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from loguru import logger

from services.core.formatting import format_day
from services.core.i18n import Texts
from services.ledger import credits as ledger
from services.messaging.buttons import MenuCallback
from services.messaging.stars import StarsApi
from services.notifications.notices import LocalizedButton
from services.notifications.notify import notify
from storage.money.subscriptions import (
    Subscription,
    current_subscription,
    expiring_subscriptions,
    mark_reminded,
    renew_subscription,
    set_cancelled,
)
from storage.money.topups import Topup, get_topup
from storage.pool import Executor, Pool
from storage.users.users import get_user

SUBSCRIPTION_PERIOD: Final = timedelta(seconds=2_592_000)
"""30 days: Telegram allows no other period. https://core.telegram.org/bots/api#createinvoicelink"""
_REMINDER_LEAD_TIME: Final = timedelta(days=3)
_BATCH_SIZE: Final = 1000


@dataclass(frozen=True)
class Tier:
    """What a subscription costs and includes.

    Attributes:
        id: Its id, as stored and as part of locale keys.
        stars: Price of a month in Stars.
        credits: Credits of a month: one for each Star and a bonus.
        discount: Percent off every order while the subscription lasts.
    """

    id: str
    stars: int
    credits: int
    discount: int


TIERS: Final = {
    tier.id: tier
    for tier in (Tier("light", 150, 180, 5), Tier("studio", 450, 600, 10), Tier("pro", 1200, 1800, 20))
}


def tier_name(texts: Texts, language: str, tier_id: str) -> str:
    """The name of a tier as users read it; the id of a tier that is no longer sold."""
    key = f"subscription.{tier_id}.name"
    return texts.t(language, key) if texts.has_key(key) else tier_id


async def get_running_subscription(db: Executor, user_id: int) -> Subscription | None:
    """The user's subscription whose month has not ended, also where it is cancelled; None where there is none."""
    return await current_subscription(db, user_id)


async def monthly_price(db: Executor, subscription: Subscription) -> int:
    """The Stars that Telegram takes each month: the price at which the subscription began."""
    topup = await get_topup(db, subscription.id)
    assert topup is not None  # noqa: S101 - a subscription has the id of the topup that began it
    return topup.stars


async def subscription_refusal_key(db: Executor, user_id: int, payload: str) -> str | None:
    """Say why a payment must not begin a subscription: another one is running, or the link was used before.

    Args:
        db: The database.
        user_id: The user who wants to pay.
        payload: The invoice's payload. Its signature is not checked here.

    Returns:
        The key of the reason; None where there is no such reason, and for payments for something else.
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


async def apply_subscription_payment(
    db: Executor, topup: Topup, *, charge_id: str, bot_name: str, expires_at: datetime | None
) -> Tier | None:
    """Apply what a subscription's payment includes beyond its own credits: the bonus, the discount, the next month.

    Args:
        db: A connection inside the transaction that credits the payment.
        topup: What was sold.
        charge_id: Telegram's id of the payment.
        bot_name: The bot that was paid.
        expires_at: The end of the month that is paid for; None where Telegram did not report it.

    Returns:
        The tier; None where it was not a subscription, or for a tier that is no longer sold: then the payment gives
        only its own credits.
    """
    tier = TIERS.get(topup.tier or "")
    if tier is None:
        return None
    await ledger.give_bonus(
        db,
        key=f"subscription:{charge_id}",
        kind="subscription_bonus",
        user_id=topup.user_id,
        amount=tier.credits - tier.stars,
    )
    await renew_subscription(
        db,
        topup.id,
        user_id=topup.user_id,
        bot_name=bot_name,
        tier=tier.id,
        charge_id=charge_id,
        expires_at=expires_at or datetime.now(UTC) + SUBSCRIPTION_PERIOD,
        discount=tier.discount,
    )
    return tier


async def set_renewal(db: Executor, stars: StarsApi, subscription: Subscription, *, renews: bool) -> None:
    """Cancel a subscription, or let it renew again.

    Telegram is asked first: a subscription that is shown as cancelled and is paid for all the same would be worse
    than one whose button has to be tapped twice.

    Args:
        db: The database.
        stars: Telegram Stars.
        subscription: The subscription, which is still running.
        renews: False cancels it: it then runs out at the end of the month that is paid for.

    Raises:
        StarsError: Telegram did not do it; nothing has changed.
    """
    await stars.set_subscription_renewal(
        subscription.bot_name, subscription.user_id, subscription.charge_id, renews=renews
    )
    if await set_cancelled(db, subscription.id, subscription.user_id, cancelled=not renews):
        logger.info(
            "subscription renewal changed",
            subscription=subscription.id,
            user=subscription.user_id,
            action="resume" if renews else "cancel",
        )


async def send_subscription_reminders(db: Pool, texts: Texts, scheduled_for: datetime) -> None:
    """The hourly scheduled task: remind users, once, whose subscription ends or renews within three days.

    Args:
        db: The database.
        texts: What the reminder says, in the user's language.
        scheduled_for: The time at which the task was due.
    """
    expiring = await expiring_subscriptions(db, seconds=_REMINDER_LEAD_TIME.total_seconds(), limit=_BATCH_SIZE)
    for subscription in expiring:
        await _remind(db, texts, subscription)
    if expiring:
        logger.info("subscription reminders enqueued", count=len(expiring))


async def _remind(db: Pool, texts: Texts, subscription: Subscription) -> None:
    user = await get_user(db, subscription.user_id)
    assert user is not None  # noqa: S101 - the subscription refers to the user
    stars = None if subscription.cancelled else await monthly_price(db, subscription)
    tier = tier_name(texts, user.language, subscription.tier)
    async with db.acquire() as connection, connection.transaction():
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
