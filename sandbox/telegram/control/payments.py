"""Payments of users: one with a pre-checkout, and the next period of a subscription.

The bot must answer a pre-checkout query within ten seconds:
https://core.telegram.org/bots/api#answerprecheckoutquery. Telegram renews a subscription without a pre-checkout.
"""

import asyncio
import secrets
import time

from pydantic import Field

from sandbox.telegram.api.call import PendingCheckout
from sandbox.telegram.control.user_actions import UserAction, resolve_participants
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.payments import Payment, Subscription, new_charge_id
from sandbox.telegram.state.server_state import ServerState
from sandbox.telegram.state.users import User

_PRE_CHECKOUT_SECONDS = 10.0


class PayInvoiceAction(UserAction):
    """The body of ``POST sim/pay``: an invoice by its message or its link, or else the newest unpaid one.

    Attributes:
        seconds: How long to wait for the bot's answer to the pre-checkout query.
    """

    message_id: int | None = None
    link: str | None = None
    seconds: float = Field(_PRE_CHECKOUT_SECONDS, gt=0, le=60)


async def pay_invoice(state: ServerState, checkouts: dict[str, PendingCheckout], action: PayInvoiceAction) -> Json:
    """Pay an invoice as a user.

    Args:
        state: The server's state.
        checkouts: Where the bot's answer to the pre-checkout query is expected, by query id.
        action: The invoice.

    Returns:
        ``paid`` with the ``message`` of the payment, or with the bot's ``error_message``; ``update_ids`` of all
        updates.

    Raises:
        ControlApiError: 404 when there is no such invoice, 409 when it is already paid.
    """
    bot, user, chat = resolve_participants(state, action)
    entry, invoice = _find_invoice(state, bot, chat, action)
    answered: asyncio.Future[tuple[bool, str | None]] = asyncio.get_running_loop().create_future()

    def answer(ok: bool, message: str | None) -> None:
        if not answered.done():
            answered.set_result((ok, message))

    query_id = str(secrets.randbelow(9 * 10**17) + 10**17)
    checkouts[query_id] = PendingCheckout(query_id, bot.id, answer)
    query = {
        "id": query_id,
        "from": user.to_telegram_user(),
        "currency": "XTR",
        "total_amount": invoice["amount"],
        "invoice_payload": invoice["payload"],
    }
    pre_checkout_update_id = state.queues[bot.id].put("pre_checkout_query", query, user.id)
    state.store.commit()
    try:
        ok, message = await asyncio.wait_for(answered, action.seconds)
    except TimeoutError:
        ok, message = False, "the bot did not answer the pre-checkout query in time"
    finally:
        checkouts.pop(query_id, None)
    if not ok:
        refused = {"paid": False, "error_message": message, "pre_checkout_query_id": query_id}
        return {
            **refused,
            "update_ids": [pre_checkout_update_id],
            "update_id": pre_checkout_update_id,
            "version": chat.version,
        }
    return _complete_payment(state, bot, user, chat, entry, invoice, pre_checkout_update_id)


def _find_invoice(
    state: ServerState, bot: BotAccount, chat: Chat, action: PayInvoiceAction
) -> tuple[Entry | None, Json]:
    if action.link is not None:
        link = state.payments.links.get(action.link.rpartition("/")[2])
        if link is None or link.bot_id != bot.id:
            raise ControlApiError(f"no invoice behind {action.link}", 404)
        return None, link.invoice
    entries = (
        [chat.find_entry(action.message_id)] if action.message_id is not None else list(chat.newest_entries())
    )
    invoices = [entry for entry in entries if entry is not None and entry.invoice]
    for entry in invoices:
        if entry.invoice and not entry.invoice.get("paid"):
            return entry, entry.invoice
    if invoices:
        raise ControlApiError("this invoice is already paid", 409)
    raise ControlApiError(f"no invoice in chat {chat.id}", 404)


def _complete_payment(
    state: ServerState,
    bot: BotAccount,
    user: User,
    chat: Chat,
    entry: Entry | None,
    invoice: Json,
    pre_checkout_update_id: int,
) -> Json:
    payment = Payment(new_charge_id(), bot.id, user.id, invoice["amount"], invoice["payload"], int(time.time()))
    extra_fields: Json = {}
    if period := invoice.get("subscription_period"):
        payment.subscription_period = period
        until = state.payments.start_subscription(payment, period).until
        extra_fields = {"subscription_expiration_date": until, "is_recurring": True, "is_first_recurring": True}
    if entry is not None:
        invoice["paid"] = True
        state.save_entry(chat, entry)
    result = _record_payment(state, bot, user, chat, payment, extra_fields)
    return {**result, "update_ids": [pre_checkout_update_id, result["update_id"]]}


def _record_payment(
    state: ServerState, bot: BotAccount, user: User, chat: Chat, payment: Payment, extra_fields: Json
) -> Json:
    """Save a payment and send the bot its ``SuccessfulPayment``, with ``extra_fields``."""
    state.payments.save(payment)
    receipt: Json = {
        "currency": "XTR",
        "total_amount": payment.amount,
        "invoice_payload": payment.payload,
        "telegram_payment_charge_id": payment.charge_id,
        "provider_payment_charge_id": f"{user.id}_{len(state.payments.payments)}",
        **extra_fields,
    }
    chat.started = True
    state.save_chat(chat)
    entry = state.add_entry(chat, {"successful_payment": receipt}, sender=user.to_telegram_user(), by_bot=False)
    update_id = state.queues[bot.id].put("message", entry.message, chat.id)
    return {"paid": True, "update_id": update_id, "version": chat.version, "message": entry.message}


class RenewSubscriptionAction(UserAction):
    """The body of ``POST sim/subscription/renew``.

    Attributes:
        charge_id: The subscription's first payment; by default the subscription that runs longest.
    """

    charge_id: str | None = None


def renew_subscription(state: ServerState, action: RenewSubscriptionAction) -> Json:
    """Take the Stars of a subscription's next period.

    Returns:
        ``paid``, ``update_id``, the chat's ``version`` and the ``message`` of the payment.

    Raises:
        ControlApiError: 404 when the user has no such subscription, 409 when it is cancelled.
    """
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
    return _record_payment(state, bot, user, chat, payment, extra_fields)


def _find_subscription(state: ServerState, bot_id: int, user_id: int, charge_id: str | None) -> Subscription:
    found = [
        each
        for each in state.payments.subscriptions.values()
        if (each.bot_id, each.user_id) == (bot_id, user_id) and charge_id in (None, each.charge_id)
    ]
    if not found:
        raise ControlApiError(f"user {user_id} has no such subscription", 404)
    return max(found, key=lambda each: each.until)
