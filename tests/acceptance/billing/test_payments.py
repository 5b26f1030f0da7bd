"""Payments in Stars: the order continues by itself, and a payment is credited once despite repeats and kills."""

import asyncio
import json

import aiohttp
import pytest

from services.billing.payments import pack_for
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, SandboxUser, wait_until
from tests.support.processes.bot_process import BotProcess
from tests.support.processes.database_breakpoint import set_breakpoint

AGREE = "I agree"


async def open_unaffordable_card(environment: Environment, user: SandboxUser) -> None:
    """Open the card of an order that costs more than the user has."""
    await user.send_text("a lighthouse")
    await user.wait_for_button("Top up 50")


async def open_invoice(user: SandboxUser, stars: int = 50) -> None:
    await user.tap(user.text("button.topup_for", stars=stars))
    await user.wait_for_button(AGREE)
    await user.tap(user.text("button.agree"))
    await user.wait_for_button(f"Pay ⭐️{stars}")


async def pay(user: SandboxUser, **fields: object) -> dict[str, object]:
    answer: dict[str, object] = await user.telegram.api.post("pay", user_id=user.id, **fields)
    return answer


async def wait_for_credits(environment: Environment, user: SandboxUser, credits: int) -> None:
    async def look() -> bool:
        return (await get_balance(environment.db, user.id)).available == credits

    await wait_until(look, what=f"{user.id} has {credits} credits")


async def wait_for_internal_jobs(environment: Environment, count: int) -> None:
    query = "SELECT count(ended_at) = $1 FROM jobs WHERE service = 'payment'"
    await wait_until(
        lambda: environment.db.fetchval(query, count), what=f"the follow-up of {count} payments is done"
    )


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_order_with_too_few_credits_continues_after_the_payment(environment: Environment, plan: str) -> None:
    if plan == "B":
        await environment.set_mode("b")
    await environment.start_bot(WELCOME_CREDITS="0", ADMIN_IDS="7")
    await environment.user(7).send_text("/start")
    ann = environment.user()
    await open_unaffordable_card(environment, ann)
    await open_invoice(ann)
    assert (await pay(ann))["paid"]
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    assert len(await ann.photo_messages()) == 1
    thanks = await ann.wait_for_text(ann.text("topup.thanks", 50))
    assert "Stars" in thanks["text"]
    await environment.user(7).wait_for_text("1001 paid 50 Stars")
    await wait_for_internal_jobs(environment, 1)
    assert await get_balance(environment.db, 1001) == Balance(49, 0)
    jobs = {job["service"]: job for job in await environment.jobs()}
    assert jobs["payment"]["plan"] == plan
    assert (await check_ledger(environment.db)).is_consistent
    assert pack_for(1) == 50

    await ann.send_text("/topup")
    await ann.wait_for_button("100 ⭐")
    await ann.tap("100 ⭐")
    await ann.wait_for_button("Pay ⭐️100")  # the terms are shown only once


async def post(bot: BotProcess, update: dict[str, object]) -> int:
    headers = {"X-Telegram-Bot-Api-Secret-Token": "acceptance"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{bot.url}/telegram/main", json=update, headers=headers) as response,
    ):
        return response.status


async def test_payment_reported_five_times_to_two_processes_is_credited_once(environment: Environment) -> None:
    environment.settings |= {"TELEGRAM_WEBHOOK_SECRET": "acceptance", "WELCOME_CREDITS": "0"}
    first = await environment.start_bot(webhook=True)
    second = await environment.start_bot(TELEGRAM_MODE="webhook", PUBLIC_URL=first.url)
    ann = environment.user()
    await open_unaffordable_card(environment, ann)
    await open_invoice(ann)
    paid = await pay(ann)
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    message = paid["message"]
    updates = [{"update_id": 10**9 + number, "message": message} for number in range(5)]
    sent = [post((first, second)[number % 2], update) for number, update in enumerate(updates)]
    assert await asyncio.gather(*sent) == [200] * 5
    await wait_for_internal_jobs(environment, 1)
    assert await get_balance(environment.db, 1001) == Balance(49, 0)
    assert await environment.db.fetchval("SELECT count(*) FROM payments") == 1
    assert len(await ann.photo_messages()) == 1
    assert (await check_ledger(environment.db)).is_consistent


async def test_forged_pre_checkout_query_is_refused(environment: Environment) -> None:
    bot = await environment.start_bot(webhook=True, TELEGRAM_WEBHOOK_SECRET="acceptance", WELCOME_CREDITS="0")
    ann, eve = environment.user(), environment.user(1666)
    await eve.send_text("/start")
    await open_unaffordable_card(environment, ann)
    await open_invoice(ann)
    (call,) = await environment.telegram.api_calls("sendInvoice")
    payload = call["params"]["payload"]
    number, _, signature = payload.partition(".")
    forged = [
        (eve, payload, 50, "topup.unknown"),  # another user's invoice
        (ann, payload, 1, "topup.changed"),
        (ann, f"{number}.{signature[::-1]}", 50, "topup.unknown"),
        (ann, f"{'0' * 32}.{signature}", 50, "topup.unknown"),
        (ann, "nonsense", 50, "topup.unknown"),
    ]
    for index, (user, invoice_payload, amount, key) in enumerate(forged):
        query = {
            "id": str(index),
            "from": {"id": user.id, "is_bot": False, "first_name": "X", "language_code": "en"},
            "currency": "XTR",
            "total_amount": amount,
            "invoice_payload": invoice_payload,
        }
        assert await post(bot, {"update_id": 10**9 + index, "pre_checkout_query": query}) == 200
        answer = (await environment.telegram.api_calls("answerPreCheckoutQuery"))[-1]["params"]
        assert answer["ok"] in (False, "false"), json.dumps(answer)
        assert answer["error_message"] == user.text(key)
    assert await environment.db.fetchval("SELECT count(*) FROM topups WHERE approved_at IS NOT NULL") == 0
    assert await get_balance(environment.db, 1001) == Balance(0, 0)


async def test_invoice_of_a_blocked_user_is_refused_until_they_are_unblocked(environment: Environment) -> None:
    await environment.start_bot(WELCOME_CREDITS="0")
    ann = environment.user()
    await open_unaffordable_card(environment, ann)
    await open_invoice(ann)
    await environment.db.execute("UPDATE users SET blocked = true")
    refused = await pay(ann)
    assert (refused["paid"], refused["error_message"]) == (False, ann.text("topup.blocked"))
    await environment.db.execute("UPDATE users SET blocked = false")
    assert (await pay(ann))["paid"]
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))


@pytest.mark.parametrize("before", [True, False], ids=["before the credit", "after the credit"])
async def test_kill_between_the_payment_and_the_credit_credits_once(
    environment: Environment, before: bool
) -> None:
    """Telegram sends the update again: the payment is credited once, and the order is made once."""
    first = await environment.start_bot(WELCOME_CREDITS="0")
    ann = environment.user()
    await open_unaffordable_card(environment, ann)
    await open_invoice(ann)
    async with set_breakpoint(environment.db, "credit" if before else "accept") as db_breakpoint:
        assert (await pay(ann))["paid"]
        await db_breakpoint.wait_until_reached()
        await first.kill()
    await environment.start_bot(WELCOME_CREDITS="0")
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    await wait_for_internal_jobs(environment, 1)
    assert await get_balance(environment.db, 1001) == Balance(49, 0)
    assert len(await ann.photo_messages()) == 1
    assert (await check_ledger(environment.db)).is_consistent


async def test_external_refund_takes_the_credits_back_and_spent_ones_are_owed(
    environment: Environment,
) -> None:
    await environment.start_bot(WELCOME_CREDITS="0")
    ann = environment.user()
    await open_unaffordable_card(environment, ann)
    await open_invoice(ann)
    await pay(ann)
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    charge = await environment.db.fetchval("SELECT id FROM payments")
    await environment.telegram.call_bot_api("refundStarPayment", user_id=ann.id, telegram_payment_charge_id=charge)
    message = await ann.wait_for_text(ann.text("refund.told", 50))
    assert ann.text("balance.debt", 1) in message["text"]
    assert await get_balance(environment.db, 1001) == Balance(0, 0, 1)
    sent = await ann.send_text("/topup")
    after = sent["message"]["message_id"]
    await ann.wait_for_button("50 ⭐", after=after)
    await ann.tap("50 ⭐")
    await ann.wait_for_button("Pay ⭐️50", after=after)
    await pay(ann)
    await wait_for_credits(environment, ann, 49)
    assert await get_balance(environment.db, 1001) == Balance(49, 0)
    assert (await check_ledger(environment.db)).is_consistent


@pytest.mark.parametrize("webhook", [True, False], ids=["webhook", "polling"])
@pytest.mark.parametrize("fault", [{"hang": 5.0}, {"code": 429, "retry_after": 5}], ids=["hangs", "429"])
async def test_payment_is_confirmed_while_another_users_answer_hangs(
    environment: Environment, webhook: bool, fault: dict[str, float]
) -> None:
    """Telegram gives up a payment after 10 seconds, and a user gives up long before."""
    await environment.start_bot(ready=False, webhook=webhook, WELCOME_CREDITS="0")
    ann, bob = environment.user(), environment.user(1002)
    await bob.send_text("/start")
    await bob.wait_for_text("Hello")
    await open_unaffordable_card(environment, ann)
    await open_invoice(ann)
    await environment.telegram.add_fault(method="sendMessage", chat_id=bob.id, **fault)
    sent_before = len(await environment.telegram.api_calls("sendMessage"))

    async def other_answer_fails() -> bool:
        faulty = fault.get("code") is not None
        return not faulty or len(await environment.telegram.api_calls("sendMessage")) > sent_before

    await bob.send_text("/help")
    await wait_until(other_answer_fails, what="the other user's answer fails")
    assert (await pay(ann, seconds=3))["paid"]
