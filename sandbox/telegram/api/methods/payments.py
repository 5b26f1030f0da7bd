"""Methods for payments in Telegram Stars: https://core.telegram.org/bots/payments-stars."""

import time

from aiogram import methods

from sandbox.telegram.api.call import ApiCall, handles
from sandbox.telegram.api.content import parse_inline_keyboard, to_seconds
from sandbox.telegram.api.methods.edits import QUERY_TOO_OLD
from sandbox.telegram.api.methods.messages import add_bot_message
from sandbox.telegram.errors import bad_request
from sandbox.telegram.json_types import Json

_SUBSCRIPTION_PERIOD_SECONDS = 2_592_000


def _validate_invoice(method: methods.SendInvoice | methods.CreateInvoiceLink) -> Json:
    """The invoice of a method that follows the rules for Stars; ``ApiError`` 400 otherwise."""
    if not 1 <= len(method.title) <= 32 or not 1 <= len(method.description) <= 255:
        raise bad_request("MEDIA_INVALID")
    if not 1 <= len(method.payload.encode()) <= 128:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    if len(method.currency) != 3:
        raise bad_request("CURRENCY_INVALID")
    if method.currency != "XTR":
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    wants = (method.need_name, method.need_email, method.need_phone_number, method.need_shipping_address)
    if len(method.prices) != 1 or method.provider_token or method.is_flexible or any(wants):
        raise bad_request("STARS_INVOICE_INVALID")
    if not method.prices[0].label:
        raise bad_request("can't parse labeled price: LabeledPrice label must be non-empty")
    if not 1 <= method.prices[0].amount <= 100_000:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
    about = method.model_dump(include={"title", "description", "payload", "photo_url"})
    return {**about, "amount": method.prices[0].amount}


@handles(methods.SendInvoice)
def send_invoice(call: ApiCall, method: methods.SendInvoice) -> Json:
    """Send an invoice in Stars, with a button to pay if the bot gives no keyboard.

    Raises:
        ApiError: 400 for an invoice that Telegram would refuse.
    """
    invoice = _validate_invoice(method)
    chat = call.get_writable_chat(method.chat_id)
    rows = (parse_inline_keyboard(method.reply_markup) or {}).get("inline_keyboard", [])
    if rows and not rows[0][0].get("pay"):
        raise bad_request("BUTTON_TYPE_INVALID")
    shown = method.model_dump(include={"title", "description", "currency"})
    shown |= {"start_parameter": method.start_parameter or "", "total_amount": invoice["amount"]}
    entry = add_bot_message(call, method, {"invoice": shown}, chat=chat)
    if not rows:
        pay = {"text": f"Pay ⭐️{invoice['amount']}", "pay": True}
        entry.message["reply_markup"] = {"inline_keyboard": [[pay]]}
    entry.invoice = invoice
    call.state.save_entry(chat, entry)
    return entry.message


@handles(methods.CreateInvoiceLink)
def create_invoice_link(call: ApiCall, method: methods.CreateInvoiceLink) -> str:
    """Return a link to an invoice in Stars, for one payment or for a monthly subscription.

    Raises:
        ApiError: 400 for an invoice or a period that Telegram would refuse.
    """
    invoice = _validate_invoice(method)
    if method.subscription_period is not None:
        invoice["subscription_period"] = to_seconds(method.subscription_period)
        if invoice["subscription_period"] != _SUBSCRIPTION_PERIOD_SECONDS:
            raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
    return f"https://t.me/{call.state.payments.create_link(call.bot.id, invoice).slug}"


@handles(methods.AnswerPreCheckoutQuery)
def answer_pre_checkout_query(call: ApiCall, method: methods.AnswerPreCheckoutQuery) -> bool:
    """Accept or refuse a payment.

    Raises:
        ApiError: 400 when the query is unknown or too old, or when a refusal has no message.
    """
    if not method.ok and not method.error_message:
        raise bad_request("error message is empty")
    checkout = call.state.pending_checkouts.pop((call.bot.id, method.pre_checkout_query_id), None)
    if checkout is None or checkout.done():
        raise bad_request(QUERY_TOO_OLD)
    checkout.set_result((method.ok, method.error_message))
    return True


@handles(methods.RefundStarPayment)
def refund_star_payment(call: ApiCall, method: methods.RefundStarPayment) -> bool:
    """Refund a payment; the user and the bot see a ``refunded_payment`` message.

    Raises:
        ApiError: 400 when the payment is unknown or already refunded.
    """
    payment = call.state.payments.payments.get(method.telegram_payment_charge_id)
    if payment is None or payment.bot_id != call.bot.id or payment.user_id != method.user_id:
        raise bad_request("CHARGE_NOT_FOUND")
    if payment.refunded:
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    payment.refunded = int(time.time())
    call.state.payments.save(payment)
    chat = call.state.get_or_create_chat(call.bot.id, payment.user_id)
    content = {"refunded_payment": payment.to_receipt()}
    entry = call.state.add_entry(chat, content, sender=call.bot.to_telegram_user(), by_bot=True)
    call.state.queues[call.bot.id].put("message", entry.message, chat.id)
    return True


@handles(methods.EditUserStarSubscription)
def edit_user_star_subscription(call: ApiCall, method: methods.EditUserStarSubscription) -> bool:
    """Cancel a subscription at the end of its period, or resume it.

    Raises:
        ApiError: 400 when the subscription is unknown or has ended.
    """
    subscription = call.state.payments.subscriptions.get(method.telegram_payment_charge_id)
    if subscription is None or (subscription.bot_id, subscription.user_id) != (call.bot.id, method.user_id):
        raise bad_request("CHARGE_NOT_FOUND")
    if subscription.until <= time.time():
        raise bad_request("SUBSCRIPTION_NOT_ACTIVE")
    subscription.cancelled = method.is_canceled
    call.state.payments.save_subscription(subscription)
    return True


@handles(methods.GetStarTransactions)
def get_star_transactions(call: ApiCall, method: methods.GetStarTransactions) -> Json:
    """Return payments and refunds, oldest first; at most 100 from ``offset``."""
    found: list[Json] = []
    for payment in call.state.payments.list_for_bot(call.bot.id):
        partner: Json = {
            "type": "user",
            "transaction_type": "invoice_payment",
            "user": call.state.get_or_create_user(payment.user_id).to_telegram_user(),
            "invoice_payload": payment.payload,
        }
        if payment.subscription_period:
            partner["subscription_period"] = payment.subscription_period
        about = {"id": payment.charge_id, "amount": payment.amount}
        found.append({**about, "date": payment.date, "source": partner})
        if payment.refunded:
            found.append({**about, "date": payment.refunded, "receiver": partner})
    found.sort(key=lambda transaction: int(transaction["date"]))
    offset = max(method.offset or 0, 0)
    return {"transactions": found[offset : offset + min(max(method.limit or 100, 1), 100)]}


@handles(methods.GetMyStarBalance)
def get_my_star_balance(call: ApiCall, _method: methods.GetMyStarBalance) -> Json:
    """Return the bot's balance in whole Stars."""
    return {"amount": call.state.payments.star_balance(call.bot.id)}
