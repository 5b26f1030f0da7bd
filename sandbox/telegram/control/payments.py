"""Payments of users: one with a pre-checkout, and the next period of a subscription.

The bot must answer a pre-checkout query within ten seconds:
https://core.telegram.org/bots/api#answerprecheckoutquery. Telegram renews a subscription without a pre-checkout.
"""

import asyncio
import time

from pydantic import Field

from sandbox.telegram.control.user_actions import Participants, UserAction, resolve_participants
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.chats import Entry
from sandbox.telegram.state.payments import Payment, Subscription, new_charge_id
from sandbox.telegram.state.server_state import ServerState, new_id

_PRE_CHECKOUT_SECONDS = 10.0


class PayInvoiceAction(UserAction):
    """The body of ``POST sim/pay``: an invoice by its message or its link, or else the newest unpaid one.

    Attributes:
        seconds: How long to wait for the bot's answer to the pre-checkout query.
    """

    message_id: int | None = None
    link: str | None = None
    seconds: float = Field(_PRE_CHECKOUT_SECONDS, gt=0, le=60)


class RenewSubscriptionAction(UserAction):
    """The body of ``POST sim/subscription/renew``.

    Attributes:
        charge_id: The subscription's first payment; by default the subscription that runs longest.
    """

    charge_id: str | None = None


async def pay_invoice(state: ServerState, action: PayInvoiceAction) -> Json:
    """Pay an invoice as a user.

    Returns:
        ``paid`` with the ``message`` of the payment, or with the bot's ``error_message``; ``update_ids`` of all
        updates.

    Raises:
        ControlApiError: 404 when there is no such invoice, 409 when it is already paid.
    """
    bot, user, chat = who = resolve_participants(state, action)
    entry, invoice = _find_invoice(state, who, action)
    query = {
        "id": new_id(),
        "from": user.to_telegram_user(),
        "currency": "XTR",
        "total_amount": invoice["amount"],
        "invoice_payload": invoice["payload"],
    }
    answer = state.pending_checkouts[bot.id, query["id"]] = asyncio.get_running_loop().create_future()
    update_id = state.queues[bot.id].put("pre_checkout_query", query, user.id)
    state.store.commit()
    try:
        ok, problem = await asyncio.wait_for(answer, action.seconds)
    except TimeoutError:
        ok, problem = False, "the bot did not answer the pre-checkout query in time"
    finally:
        state.pending_checkouts.pop((bot.id, query["id"]), None)
    if not ok:
        refused = {"paid": False, "error_message": problem, "pre_checkout_query_id": query["id"]}
        return {**refused, "update_ids": [update_id], "update_id": update_id, "version": chat.version}
    payment = Payment(new_charge_id(), bot.id, user.id, invoice["amount"], invoice["payload"], int(time.time()))
    extra_fields: Json = {}
    if period := invoice.get("subscription_period"):
        payment.subscription_period = period
        subscription = Subscription(
            payment.charge_id, bot.id, user.id, payment.amount, payment.payload, period, payment.date + period
        )
        state.payments.save_subscription(subscription)
        extra_fields = {
            "subscription_expiration_date": subscription.until,
            "is_recurring": True,
            "is_first_recurring": True,
        }
    if entry is not None:
        invoice["paid"] = True
        state.save_entry(chat, entry)
    result = _record_payment(state, who, payment, extra_fields)
    return {**result, "update_ids": [update_id, result["update_id"]]}


def _find_invoice(state: ServerState, who: Participants, action: PayInvoiceAction) -> tuple[Entry | None, Json]:
    """The invoice with its message, or without one when it is behind a link."""
    bot, _, chat = who
    if action.link is not None:
        link = state.payments.links.get(action.link.rpartition("/")[2])
        if link is None or link.bot_id != bot.id:
            raise ControlApiError(f"no invoice behind {action.link}", 404)
        return None, link.invoice
    entries = [e for e in chat.newest_entries() if e.invoice and action.message_id in (None, e.id)]
    for entry in entries:
        if entry.invoice and not entry.invoice.get("paid"):
            return entry, entry.invoice
    if entries:
        raise ControlApiError("this invoice is already paid", 409)
    raise ControlApiError(f"no invoice in chat {chat.id}", 404)


def _record_payment(state: ServerState, who: Participants, payment: Payment, extra_fields: Json) -> Json:
    """Save a payment and send the bot its ``SuccessfulPayment``, with ``extra_fields``."""
    bot, user, chat = who
    state.payments.save(payment)
    provider_charge = f"{user.id}_{len(state.payments.payments)}"
    receipt = {**payment.to_receipt(), "provider_payment_charge_id": provider_charge, **extra_fields}
    chat.started = True
    state.save_chat(chat)
    entry = state.add_entry(chat, {"successful_payment": receipt}, sender=user.to_telegram_user(), by_bot=False)
    update_id = state.queues[bot.id].put("message", entry.message, chat.id)
    return {"paid": True, "update_id": update_id, "version": chat.version, "message": entry.message}


def renew_subscription(state: ServerState, action: RenewSubscriptionAction) -> Json:
    """Take the Stars of a subscription's next period.

    Returns:
        ``paid``, ``update_id``, the chat's ``version`` and the ``message`` of the payment.

    Raises:
        ControlApiError: 404 when the user has no such subscription, 409 when it is cancelled.
    """
    bot, user, _ = who = resolve_participants(state, action)
    found = [
        each
        for each in state.payments.subscriptions.values()
        if (each.bot_id, each.user_id) == (bot.id, user.id) and action.charge_id in (None, each.charge_id)
    ]
    if not found:
        raise ControlApiError(f"user {user.id} has no such subscription", 404)
    subscription = max(found, key=lambda each: each.until)
    if subscription.cancelled:
        raise ControlApiError("the subscription is cancelled: it ends and is not renewed", 409)
    subscription.until += subscription.period
    state.payments.save_subscription(subscription)
    about = (bot.id, user.id, subscription.amount, subscription.payload, int(time.time()))
    payment = Payment(new_charge_id(), *about, subscription_period=subscription.period)
    extra_fields = {"subscription_expiration_date": subscription.until, "is_recurring": True}
    return _record_payment(state, who, payment, extra_fields)
