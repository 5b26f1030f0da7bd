"""A month passes: Telegram takes the Stars of a running subscription by itself and asks nobody before."""

import time
from typing import Any

from sandbox.telegram.control.payments import take_stars
from sandbox.telegram.control.user_actions import PersonOrder, who_and_where
from sandbox.telegram.errors import SimError
from sandbox.telegram.state.payments import Payment, Subscription, new_charge_id
from sandbox.telegram.state.server_state import World

Json = dict[str, Any]


class RenewOrder(PersonOrder):
    """Body of ``POST sim/subscription/renew``: by its first payment, else the longest one."""

    charge_id: str | None = None


def renew(world: World, order: RenewOrder) -> Json:
    """Take the next period's Stars; ``SimError`` 409 where the subscription was cancelled."""
    bot, person, chat = who_and_where(world, order)
    subscription = _subscription(world, bot.id, person.id, order.charge_id)
    if subscription.cancelled:
        raise SimError("the subscription is cancelled: it ends and is not renewed", 409)
    subscription.until += subscription.period
    world.payments.save_subscription(subscription)
    payment = Payment(
        new_charge_id(), bot.id, person.id, subscription.amount, subscription.payload, int(time.time())
    )
    payment.subscription_period = subscription.period
    about = {"subscription_expiration_date": subscription.until, "is_recurring": True}
    return take_stars(world, bot, person, chat, payment, about)


def _subscription(world: World, bot_id: int, person_id: int, charge_id: str | None) -> Subscription:
    of_person = [
        each
        for each in world.payments.subscriptions.values()
        if (each.bot_id, each.user_id) == (bot_id, person_id) and charge_id in (None, each.charge_id)
    ]
    if not of_person:
        raise SimError(f"person {person_id} has no such subscription", 404)
    return max(of_person, key=lambda each: each.until)
