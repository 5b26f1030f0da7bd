"""Paying in Stars: the order goes on by itself; one credit whatever comes twice, is forged, or is killed."""

import asyncio
import json

import aiohttp
import pytest

from services.billing.payments import pack_for
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import BOT_TOKEN, Person, Stage, until
from tests.support.processes.bot_process import BotProcess
from tests.support.processes.database_breakpoint import breakpoint_at

AGREE = "I agree"


async def card_without_credits(stage: Stage, person: Person) -> None:
    """An order's card that costs more than the person has."""
    await person.say("a lighthouse")
    await person.can_tap("Top up 50")


async def invoice(person: Person, stars: int = 50) -> None:
    await person.tap(person.said("button.topup_for", stars=stars))
    await person.can_tap(AGREE)
    await person.tap(person.said("button.agree"))
    await person.can_tap(f"Pay ⭐️{stars}")


async def pay(person: Person, **fields: object) -> dict[str, object]:
    answer: dict[str, object] = await person.telegram.call("POST", "/sim/pay", {"user_id": person.id, **fields})
    return answer


async def credited(stage: Stage, person: Person, stars: int) -> None:
    async def look() -> bool:
        return (await get_balance(stage.db, person.id)).available == stars

    await until(look, what=f"{person.id} has {stars} Stars")


async def errands_ended(stage: Stage, count: int) -> None:
    query = "SELECT count(ended_at) = $1 FROM jobs WHERE service = 'payment'"
    await until(lambda: stage.db.fetchval(query, count), what=f"what follows {count} payments is done")


@pytest.mark.parametrize("plan", ["A", "B"])
async def test_too_few_credits_then_a_pack_then_the_order_goes_on_by_itself(stage: Stage, plan: str) -> None:
    if plan == "B":
        await stage.set_mode("b")
    await stage.start_bot(WELCOME_CREDITS="0", ADMIN_IDS="7")
    await stage.person(7).say("/start")
    ann = stage.person()
    await card_without_credits(stage, ann)
    await invoice(ann)
    assert (await pay(ann))["paid"]
    await ann.sees(ann.said("progress.succeeded", price=1))
    assert len(await ann.photos()) == 1
    thanks = await ann.sees(ann.said("topup.thanks", 50))
    assert "Stars" in thanks["text"]
    await stage.person(7).sees("1001 paid 50 Stars")
    await errands_ended(stage, 1)
    assert await get_balance(stage.db, 1001) == Balance(49, 0)
    jobs = {job["service"]: job for job in await stage.jobs()}
    assert jobs["payment"]["plan"] == plan
    assert (await check_ledger(stage.db)).right
    assert pack_for(1) == 50

    await ann.say("/topup")
    await ann.can_tap("100 ⭐")
    await ann.tap("100 ⭐")
    await ann.can_tap("Pay ⭐️100")  # the terms are asked for once


async def post(bot: BotProcess, update: dict[str, object]) -> int:
    headers = {"X-Telegram-Bot-Api-Secret-Token": "acceptance"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{bot.url}/telegram/main", json=update, headers=headers) as response,
    ):
        return response.status


async def test_five_times_the_same_payment_on_two_processes_is_one_credit(stage: Stage) -> None:
    stage.settings |= {"TELEGRAM_WEBHOOK_SECRET": "acceptance", "WELCOME_CREDITS": "0"}
    first = await stage.start_bot(webhook=True)
    second = await stage.start_bot(TELEGRAM_MODE="webhook", PUBLIC_URL=first.url)
    ann = stage.person()
    await card_without_credits(stage, ann)
    await invoice(ann)
    paid = await pay(ann)
    await ann.sees(ann.said("progress.succeeded", price=1))
    message = paid["message"]
    updates = [{"update_id": 10**9 + number, "message": message} for number in range(5)]
    sent = [post((first, second)[number % 2], update) for number, update in enumerate(updates)]
    assert await asyncio.gather(*sent) == [200] * 5
    await errands_ended(stage, 1)
    assert await get_balance(stage.db, 1001) == Balance(49, 0)
    assert await stage.db.fetchval("SELECT count(*) FROM charges") == 1
    assert len(await ann.photos()) == 1
    assert (await check_ledger(stage.db)).right


async def test_what_is_forged_is_refused_before_the_payment(stage: Stage) -> None:
    bot = await stage.start_bot(webhook=True, TELEGRAM_WEBHOOK_SECRET="acceptance", WELCOME_CREDITS="0")
    ann, eve = stage.person(), stage.person(1666)
    await eve.say("/start")
    await card_without_credits(stage, ann)
    await invoice(ann)
    (call,) = await stage.telegram.calls("sendInvoice")
    payload = call["params"]["payload"]
    number, _, signature = payload.partition(".")
    forged = [
        (eve, payload, 50, "topup.unknown"),  # another's
        (ann, payload, 1, "topup.changed"),
        (ann, f"{number}.{signature[::-1]}", 50, "topup.unknown"),
        (ann, f"{'0' * 32}.{signature}", 50, "topup.unknown"),
        (ann, "nonsense", 50, "topup.unknown"),
    ]
    for index, (person, given, amount, key) in enumerate(forged):
        query = {
            "id": str(index),
            "from": {"id": person.id, "is_bot": False, "first_name": "X", "language_code": "en"},
            "currency": "XTR",
            "total_amount": amount,
            "invoice_payload": given,
        }
        assert await post(bot, {"update_id": 10**9 + index, "pre_checkout_query": query}) == 200
        answer = (await stage.telegram.calls("answerPreCheckoutQuery"))[-1]["params"]
        assert answer["ok"] in (False, "false"), json.dumps(answer)
        assert answer["error_message"] == person.said(key)
    assert await stage.db.fetchval("SELECT count(*) FROM topups WHERE checked_at IS NOT NULL") == 0
    assert await get_balance(stage.db, 1001) == Balance(0, 0)


async def test_an_invoice_is_paid_once_and_by_nobody_who_is_blocked(stage: Stage) -> None:
    await stage.start_bot(WELCOME_CREDITS="0")
    ann = stage.person()
    await card_without_credits(stage, ann)
    await invoice(ann)
    await stage.db.execute("UPDATE users SET blocked = true")
    refused = await pay(ann)
    assert (refused["paid"], refused["error_message"]) == (False, ann.said("topup.blocked"))
    await stage.db.execute("UPDATE users SET blocked = false")
    assert (await pay(ann))["paid"]
    await ann.sees(ann.said("progress.succeeded", price=1))


@pytest.mark.parametrize("before", [True, False], ids=["before the credit", "after the credit"])
async def test_killed_between_the_payment_and_the_credit(stage: Stage, before: bool) -> None:
    """The update comes again, and the credit and the order with it, once."""
    first = await stage.start_bot(WELCOME_CREDITS="0")
    ann = stage.person()
    await card_without_credits(stage, ann)
    await invoice(ann)
    async with breakpoint_at(stage.db, "credit" if before else "accept") as stop:
        assert (await pay(ann))["paid"]
        await stop.reached()
        await first.kill()
    await stage.start_bot(WELCOME_CREDITS="0")
    await ann.sees(ann.said("progress.succeeded", price=1))
    await errands_ended(stage, 1)
    assert await get_balance(stage.db, 1001) == Balance(49, 0)
    assert len(await ann.photos()) == 1
    assert (await check_ledger(stage.db)).right


async def test_a_refund_elsewhere_takes_the_credits_back_and_what_is_spent_is_owed(stage: Stage) -> None:
    await stage.start_bot(WELCOME_CREDITS="0")
    ann = stage.person()
    await card_without_credits(stage, ann)
    await invoice(ann)
    await pay(ann)
    await ann.sees(ann.said("progress.succeeded", price=1))
    charge = await stage.db.fetchval("SELECT id FROM charges")
    await stage.telegram.call(
        "POST",
        f"/bot{BOT_TOKEN}/refundStarPayment",
        {"user_id": ann.id, "telegram_payment_charge_id": charge},
    )
    told = await ann.sees(ann.said("refund.told", 50))
    assert ann.said("balance.debt", 1) in told["text"]
    assert await get_balance(stage.db, 1001) == Balance(0, 0, 1)
    sent = await ann.say("/topup")
    after = sent["message"]["message_id"]
    await ann.can_tap("50 ⭐", after=after)
    await ann.tap("50 ⭐")
    await ann.can_tap("Pay ⭐️50", after=after)
    await pay(ann)
    await credited(stage, ann, 49)
    assert await get_balance(stage.db, 1001) == Balance(49, 0)
    assert (await check_ledger(stage.db)).right


@pytest.mark.parametrize("webhook", [True, False], ids=["webhook", "polling"])
@pytest.mark.parametrize("fault", [{"hang": 5.0}, {"code": 429, "retry_after": 5}], ids=["hangs", "429"])
async def test_a_payment_does_not_wait_for_what_another_person_is_told(
    stage: Stage, webhook: bool, fault: dict[str, float]
) -> None:
    """Telegram gives a payment up after 10 s, and a person long before."""
    await stage.start_bot(ready=False, webhook=webhook, WELCOME_CREDITS="0")
    ann, bob = stage.person(), stage.person(1002)
    await bob.say("/start")
    await bob.sees("Hello")
    await card_without_credits(stage, ann)
    await invoice(ann)
    await stage.telegram.fault(method="sendMessage", chat_id=bob.id, **fault)
    asked = len(await stage.telegram.calls("sendMessage"))

    async def bob_is_being_answered() -> bool:
        faulty = fault.get("code") is not None
        return not faulty or len(await stage.telegram.calls("sendMessage")) > asked

    await bob.say("/help")
    await until(bob_is_being_answered, what="the other person's answer fails")
    assert (await pay(ann, seconds=3))["paid"]
