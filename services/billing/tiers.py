"""Monthly plans in Stars: credits each month, and a discount on every order while they last.

https://core.telegram.org/bots/payments-stars#star-subscriptions
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from services.ledger import credits as ledger
from storage.money.subscriptions import renew_subscription
from storage.money.topups import Topup
from storage.pool import Executor

SUBSCRIPTION_PERIOD: Final = timedelta(seconds=2_592_000)
"""Telegram allows no other: 30 days."""


@dataclass(frozen=True)
class Tier:
    """`stars` a month buy `credits`, and `discount` percent off every order."""

    id: str
    stars: int
    credits: int
    discount: int


TIERS: Final = {
    plan.id: plan
    for plan in (Tier("light", 150, 180, 5), Tier("studio", 450, 600, 10), Tier("pro", 1200, 1800, 20))
}


async def apply_subscription_payment(
    db: Executor, topup: Topup, *, charge_id: str, bot_name: str, expires_at: datetime | None
) -> Tier | None:
    """What a payment for a subscription brings beside its credits: the bonus, the discount, the next month.

    Needs the transaction of the payment around it. None for a plan that there is no more: its Stars are credited.
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
