"""Subscriptions: tiers with monthly credits and a discount on every order. A user can have one subscription.

Telegram charges each month automatically: https://core.telegram.org/bots/payments-stars#star-subscriptions
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
    """A kind of subscription.

    Attributes:
        id: The tier's id in the database and in text keys.
        stars: The monthly price in Stars.
        credits: The monthly credits: one per Star, plus a bonus.
        discount: The discount on every order during the subscription, in percent.
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
    """Return the tier's name for users, or its id if the tier is no longer sold."""
    key = f"subscription.{tier_id}.name"
    return texts.t(language, key) if texts.has_key(key) else tier_id


async def get_running_subscription(db: Executor, user_id: int) -> Subscription | None:
    """Return the user's subscription if its paid month has not ended, even if it is cancelled; otherwise None."""
    return await current_subscription(db, user_id)


async def monthly_price(db: Executor, subscription: Subscription) -> int:
    """Return the Stars that Telegram charges each month: the price when the subscription began."""
    topup = await get_topup(db, subscription.id)
    assert topup is not None  # noqa: S101 - a subscription has the id of its first topup
    return topup.stars


async def subscription_refusal_key(db: Executor, user_id: int, payload: str) -> str | None:
    """Check that a payment may start a subscription: none is running, and the link was not used before.

    Args:
        db: The database.
        user_id: The user who wants to pay.
        payload: The invoice's payload. Its signature is not checked here.

    Returns:
        The key of the text that gives the reason for refusal. None if the payment may start a subscription or is
        for something else.
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
    """Give the bonus of a subscription payment, and start or renew the subscription.

    Args:
        db: A connection inside the transaction that credits the payment.
        topup: The topup that was paid.
        charge_id: Telegram's id of the payment.
        bot_name: The bot that received the payment.
        expires_at: The end of the paid month; None if Telegram did not report it.

    Returns:
        The tier. None if the payment was not for a subscription, or if the tier is no longer sold; then nothing
        changes and the payment gives only the credits paid for.
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
    """Cancel a subscription, or resume its renewal.

    Telegram is called before the database is written: a subscription that is shown as cancelled but still charged
    would be worse than a button that has to be tapped twice.

    Args:
        db: The database.
        stars: The API for Telegram Stars.
        subscription: A running subscription.
        renews: False to cancel. The subscription then ends with the paid month.

    Raises:
        StarsError: Telegram refused or could not be reached. Nothing has changed.
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
    """Remind users, once per month, whose subscription ends or renews within three days. An hourly scheduled task.

    Args:
        db: The database.
        texts: The texts, for the names of tiers.
        scheduled_for: The time for which this scheduled task was due.
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
