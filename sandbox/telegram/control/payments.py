"""Paying: pre-checkout, the bot's word within ten seconds, then the successful payment."""

import asyncio
import secrets
import time
from typing import Any

from pydantic import Field

from sandbox.telegram.api.call import PendingCheckout
from sandbox.telegram.control.user_actions import UserAction, resolve_participants
from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.payments import Payment, new_charge_id
from sandbox.telegram.state.server_state import ServerState
from sandbox.telegram.state.users import User

Json = dict[str, Any]

PRE_CHECKOUT_SECONDS = 10.0


class PayInvoiceAction(UserAction):
    """Body of ``POST sim/pay``: an invoice by its message or its link, else the newest unpaid one."""

    message_id: int | None = None
    link: str | None = None
    seconds: float = Field(PRE_CHECKOUT_SECONDS, gt=0, le=60)


async def pay_invoice(state: ServerState, checkouts: dict[str, PendingCheckout], action: PayInvoiceAction) -> Json:
    """Pay an invoice; ``paid`` says whether the bot agreed, ``error_message`` what it said else."""
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
        raise ControlApiError("this invoice is paid already", 409)
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
    result = record_payment(state, bot, user, chat, payment, extra_fields)
    return {**result, "update_ids": [pre_checkout_update_id, result["update_id"]]}


def record_payment(
    state: ServerState, bot: BotAccount, user: User, chat: Chat, payment: Payment, extra_fields: Json
) -> Json:
    """A payment is made, and the bot hears of it; ``about`` is further fields of its ``SuccessfulPayment``."""
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
