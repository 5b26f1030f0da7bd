"""Paying: pre-checkout, the bot's word within ten seconds, then the successful payment."""

import asyncio
import secrets
import time
from typing import Any

from pydantic import Field

from sandbox.telegram.api.call import Checkout
from sandbox.telegram.control.user_actions import PersonOrder, who_and_where
from sandbox.telegram.errors import SimError
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.payments import Payment, new_charge_id
from sandbox.telegram.state.server_state import World
from sandbox.telegram.state.users import Person

Json = dict[str, Any]

PRE_CHECKOUT_SECONDS = 10.0


class PayOrder(PersonOrder):
    """Body of ``POST sim/pay``: an invoice by its message or its link, else the newest unpaid one."""

    message_id: int | None = None
    link: str | None = None
    seconds: float = Field(PRE_CHECKOUT_SECONDS, gt=0, le=60)


async def pay(world: World, checkouts: dict[str, Checkout], order: PayOrder) -> Json:
    """Pay an invoice; ``paid`` says whether the bot agreed, ``error_message`` what it said else."""
    bot, person, chat = who_and_where(world, order)
    entry, invoice = _invoice(world, bot, chat, order)
    word: asyncio.Future[tuple[bool, str | None]] = asyncio.get_running_loop().create_future()

    def answer(ok: bool, message: str | None) -> None:
        if not word.done():
            word.set_result((ok, message))

    query_id = str(secrets.randbelow(9 * 10**17) + 10**17)
    checkouts[query_id] = Checkout(query_id, bot.id, answer)
    query = {
        "id": query_id,
        "from": person.user(),
        "currency": "XTR",
        "total_amount": invoice["amount"],
        "invoice_payload": invoice["payload"],
    }
    asked = world.queues[bot.id].put("pre_checkout_query", query, person.id)
    world.store.commit()
    try:
        ok, message = await asyncio.wait_for(word, order.seconds)
    except TimeoutError:
        ok, message = False, "the bot did not answer the pre-checkout query in time"
    finally:
        checkouts.pop(query_id, None)
    if not ok:
        refused = {"paid": False, "error_message": message, "pre_checkout_query_id": query_id}
        return {**refused, "update_ids": [asked], "update_id": asked, "version": chat.version}
    return _settle(world, bot, person, chat, entry, invoice, asked)


def _invoice(world: World, bot: BotAccount, chat: Chat, order: PayOrder) -> tuple[Entry | None, Json]:
    if order.link is not None:
        link = world.payments.links.get(order.link.rpartition("/")[2])
        if link is None or link.bot_id != bot.id:
            raise SimError(f"no invoice behind {order.link}", 404)
        return None, link.invoice
    entries = [chat.live_entry(order.message_id)] if order.message_id is not None else list(chat.newest())
    invoices = [entry for entry in entries if entry is not None and entry.invoice]
    for entry in invoices:
        if entry.invoice and not entry.invoice.get("paid"):
            return entry, entry.invoice
    if invoices:
        raise SimError("this invoice is paid already", 409)
    raise SimError(f"no invoice in chat {chat.id}", 404)


def _settle(
    world: World, bot: BotAccount, person: Person, chat: Chat, entry: Entry | None, invoice: Json, asked: int
) -> Json:
    payment = Payment(new_charge_id(), bot.id, person.id, invoice["amount"], invoice["payload"], int(time.time()))
    about: Json = {}
    if period := invoice.get("subscription_period"):
        payment.subscription_period = period
        until = world.payments.subscribe(payment, period).until
        about = {"subscription_expiration_date": until, "is_recurring": True, "is_first_recurring": True}
    if entry is not None:
        invoice["paid"] = True
        world.save_entry(chat, entry)
    taken = take_stars(world, bot, person, chat, payment, about)
    return {**taken, "update_ids": [asked, taken["update_id"]]}


def take_stars(world: World, bot: BotAccount, person: Person, chat: Chat, payment: Payment, about: Json) -> Json:
    """A payment is made, and the bot hears of it; ``about`` is further fields of its ``SuccessfulPayment``."""
    world.payments.save(payment)
    receipt: Json = {
        "currency": "XTR",
        "total_amount": payment.amount,
        "invoice_payload": payment.payload,
        "telegram_payment_charge_id": payment.charge_id,
        "provider_payment_charge_id": f"{person.id}_{len(world.payments.payments)}",
        **about,
    }
    chat.started = True
    world.save_chat(chat)
    note = world.add_entry(chat, {"successful_payment": receipt}, sender=person.user(), by_bot=False)
    told = world.queues[bot.id].put("message", note.message, chat.id)
    return {"paid": True, "update_id": told, "version": chat.version, "message": note.message}
