"""A month passes: Telegram takes the Stars of a running subscription by itself and asks nobody before."""

import time
from typing import Any

from sandbox.telegram.control.payments import record_payment
from sandbox.telegram.control.user_actions import UserAction, resolve_participants
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.state.payments import Payment, Subscription, new_charge_id
from sandbox.telegram.state.server_state import ServerState

Json = dict[str, Any]


class RenewSubscriptionAction(UserAction):
    """Body of ``POST sim/subscription/renew``: by its first payment, else the longest one."""

    charge_id: str | None = None


def renew_subscription(state: ServerState, action: RenewSubscriptionAction) -> Json:
    """Take the next period's Stars; ``SimError`` 409 where the subscription was cancelled."""
    bot, user, chat = resolve_participants(state, action)
    subscription = _find_subscription(state, bot.id, user.id, action.charge_id)
    if subscription.cancelled:
        raise ControlApiError("the subscription is cancelled: it ends and is not renewed", 409)
    subscription.until += subscription.period
    state.payments.save_subscription(subscription)
    payment = Payment(
        new_charge_id(), bot.id, user.id, subscription.amount, subscription.payload, int(time.time())
    )
    payment.subscription_period = subscription.period
    extra_fields = {"subscription_expiration_date": subscription.until, "is_recurring": True}
    return record_payment(state, bot, user, chat, payment, extra_fields)


def _find_subscription(state: ServerState, bot_id: int, user_id: int, charge_id: str | None) -> Subscription:
    found = [
        each
        for each in state.payments.subscriptions.values()
        if (each.bot_id, each.user_id) == (bot_id, user_id) and charge_id in (None, each.charge_id)
    ]
    if not found:
        raise ControlApiError(f"person {user_id} has no such subscription", 404)
    return max(found, key=lambda each: each.until)
