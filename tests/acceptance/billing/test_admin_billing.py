"""Money from the admins' side: refunds, reconciling, grants, a person's card, blocks, statistics in the chat.

One bot serves all these tests; each has people of its own.
"""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import pytest

from handlers.admin.refunds import RefundCallback
from handlers.admin.user_card import UserCallback
from sandbox.telegram.state.payments import Payment
from services.billing.bonuses import give_bonus_credits
from services.messaging.app_context import AppContext
from storage.money.ledger import Balance, check_ledger, get_balance, transfer
from storage.money.payments import payment_digest
from storage.pool import create_pool
from tests.support.environments.environment import (
    TEXTS,
    Environment,
    SandboxUser,
    button_labels,
    chat_text,
    wait_until,
)
from tests.support.processes.bot_process import ProcessPool

ADMIN = 7
_ids = itertools.count(2001)


@pytest.fixture(scope="module")
async def environment(
    postgres: str, process_pool: ProcessPool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    server, name = await asyncpg.connect(postgres), f"admins_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = f"{postgres.rpartition('/')[0]}/{name}"
    db = await create_pool(dsn, size=5)
    environment = Environment(db, dsn, tmp_path_factory.mktemp("admins"), process_pool)
    await environment.open()
    await environment.start_bot(ADMIN_IDS=str(ADMIN), WELCOME_CREDITS="0", ready=False)
    await environment.user(ADMIN).send_text("/start")
    yield environment
    await environment.close()
    await db.close()
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def ann(environment: Environment) -> AsyncIterator[SandboxUser]:
    """Somebody new, who has agreed to the terms."""
    ann = environment.user(next(_ids))
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    await environment.db.execute("UPDATE users SET terms_accepted_at = now() WHERE id = $1", ann.id)
    yield ann
    await environment.telegram.call("DELETE", "/sim/fault")


async def pay(environment: Environment, user: SandboxUser, stars: int = 50) -> str:
    """Buy a pack; the charge's id."""
    before = (await get_balance(environment.db, user.id)).available
    after = (await user.send_text("/topup"))["message"]["message_id"]
    await user.wait_for_button(f"{stars} ⭐", after=after)
    await user.tap(f"{stars} ⭐")
    await user.wait_for_button(f"Pay ⭐️{stars}", after=after)
    paid = await environment.telegram.call("POST", "/sim/pay", {"user_id": user.id})
    charge: str = paid["message"]["successful_payment"]["telegram_payment_charge_id"]

    async def credited() -> bool:
        return (await get_balance(environment.db, user.id)).available > before

    await wait_until(credited, what=f"{user.id} is credited")
    return charge


async def spend(environment: Environment, user: SandboxUser, stars: int) -> None:
    key = f"test:{secrets.token_hex(4)}"
    assert await transfer(
        environment.db, key=key, kind="test", user_id=user.id, source="available", target="revenue", amount=stars
    )


async def ask(environment: Environment, text: str) -> tuple[SandboxUser, int]:
    """What an admin writes; the admin, and the id of that message."""
    admin = environment.user(ADMIN)
    return admin, (await admin.send_text(text))["message"]["message_id"]


async def tap_refund(environment: Environment, charge: str, stars: int = 50) -> None:
    """Tap the card's button, and wait until the outbox is through; the time between tries is not waited for."""
    tapped_at = await environment.db.fetchval("SELECT now()")
    await environment.user(ADMIN).tap(chat_text("refund.sure", stars=stars))
    query = "SELECT count(*) FROM refunds WHERE charge_id = $1 AND requested_at >= $2 AND done_at IS NOT NULL"
    make_due = "UPDATE refunds SET next_attempt_at = now() WHERE done_at IS NULL AND error <> ''"

    async def done() -> bool:
        await environment.db.execute(make_due)
        return bool(await environment.db.fetchval(query, charge, tapped_at))

    await wait_until(done, what="the refund is done")


async def refund(environment: Environment, charge: str, stars: int = 50) -> int:
    """Ask for a refund as an admin does; the id of the message that asked."""
    admin, after = await ask(environment, f"/refund {charge}")
    await admin.wait_for_button(chat_text("refund.sure", stars=stars), after=after)
    await tap_refund(environment, charge, stars)
    return after


async def test_telegram_fails_three_times_and_the_refund_is_done_at_the_fourth_once(
    environment: Environment, ann: SandboxUser
) -> None:
    charge = await pay(environment, ann)
    admin, after = await ask(environment, "/refund")
    label = f"50 ⭐ · {ann.id}"
    await admin.wait_for_button(label, after=after)
    await admin.tap(label)
    card = await admin.wait_for_text(charge, after=after)
    assert "Nothing of it is spent" in card["text"]
    await environment.telegram.add_fault(method="refundStarPayment", code=500, times=3)
    calls = len(await environment.telegram.api_calls("refundStarPayment"))
    await tap_refund(environment, charge)
    assert len(await environment.telegram.api_calls("refundStarPayment")) == calls + 4
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)
    await ann.wait_for_text("Your payment of 50 Stars was refunded")
    told = await admin.wait_for_text(f"Refunded 50 ⭐ to {ann.id}; all of it was still there", after=after)
    assert str(ADMIN) in told["text"]

    admin, after = await ask(environment, f"/refund {charge}")
    again = await admin.wait_for_text("It was refunded", after=after)
    assert chat_text("refund.sure", stars=50) not in button_labels(again)
    await admin.tap(chat_text("refund.list_button"))
    await admin.wait_for_button("✔︎ 50 ⭐", after=after)
    assert len([m for m in await ann.bot_messages() if "was refunded" in (m["text"] or "")]) == 1
    assert (await check_ledger(environment.db)).is_consistent


async def test_what_telegram_has_refunded_already_counts_as_done(
    environment: Environment, ann: SandboxUser
) -> None:
    """With a month of a subscription its bonus goes as well."""
    charge = await pay(environment, ann)
    bonus = f"subscription:{charge}"
    await transfer(
        environment.db, key=bonus, kind="test", user_id=ann.id, source="bonuses", target="available", amount=30
    )
    admin, after = await ask(environment, f"/refund {charge}")
    card = await admin.wait_for_text("all 80 ⭐ are taken back", after=after)
    assert "its bonus of 30 ⭐" in card["text"]
    await environment.telegram.add_fault(
        method="refundStarPayment", code=400, description="Bad Request: CHARGE_ALREADY_REFUNDED"
    )
    await refund(environment, charge)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)
    assert await environment.db.fetchval("SELECT refunded_at IS NOT NULL FROM payments WHERE id = $1", charge)


async def test_what_telegram_refuses_for_good_is_told_and_may_be_asked_for_again(
    environment: Environment, ann: SandboxUser
) -> None:
    charge = await pay(environment, ann)
    await environment.telegram.add_fault(
        method="refundStarPayment", code=400, description="Bad Request: BALANCE_TOO_LOW"
    )
    after = await refund(environment, charge)
    admin = environment.user(ADMIN)
    await admin.wait_for_text("Telegram refuses to refund", after=after)
    assert await get_balance(environment.db, ann.id) == Balance(50, 0)
    admin, after = await ask(environment, f"/refund {charge}")
    await admin.wait_for_text("BALANCE_TOO_LOW. It can be asked for again", after=after)
    await refund(environment, charge)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)


async def test_a_refund_of_spent_credits_is_owed_and_settled_by_the_next_payment(
    environment: Environment, ann: SandboxUser
) -> None:
    charge = await pay(environment, ann)
    await spend(environment, ann, 30)
    admin, after = await ask(environment, f"/refund {charge}")
    card = await admin.wait_for_text("20 ⭐ are still there", after=after)
    assert "30 ⭐ are spent" in card["text"]
    await refund(environment, charge)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0, 30)
    await admin.wait_for_text(f"to {ann.id}, who had spent 30 of them", after=after)
    await pay(environment, ann)
    assert await get_balance(environment.db, ann.id) == Balance(20, 0)
    assert (await check_ledger(environment.db)).is_consistent


async def test_a_payment_that_nobody_made_cannot_be_refunded(environment: Environment) -> None:
    admin, after = await ask(environment, "/refund stx-nobody's")
    await admin.wait_for_text("There is no payment with this id", after=after)


async def test_reconcile_credits_what_was_lost_and_takes_back_what_was_refunded_elsewhere(
    environment: Environment, ann: SandboxUser
) -> None:
    """Of eight payments, each is wrong in a way of its own, or right."""
    right, elsewhere, other, unlisted, here = [await pay(environment, ann, 100) for _ in range(5)]
    await spend(environment, ann, 250)
    await environment.telegram.add_fault(
        method="refundStarPayment", code=400, description="Bad Request: CHARGE_ALREADY_REFUNDED"
    )
    await refund(environment, here, 100)  # as it never was
    world = environment.telegram._server.state
    listed = world.payments.payments
    lost = environment.telegram.pay_without_update(ann.id, 70, "not ours, but paid")
    gone = environment.telegram.pay_without_update(ann.id, 71, "lost, and refunded before we heard of it")
    stranger = environment.telegram.pay_without_update(999_999_999, 72, "of nobody we know")
    for charge in (elsewhere, gone):
        listed[charge].refunded = int(datetime.now(UTC).timestamp())
    listed[other].amount = 90
    del listed[unlisted]
    await environment.db.execute(
        """UPDATE payments SET created_at = created_at - interval '1 hour',
        refunded_at = refunded_at - interval '1 hour' WHERE user_id = $1""",
        ann.id,
    )
    admin, after = await ask(environment, "/reconcile")
    found = (await admin.wait_for_text("Payments at Telegram", after=after))["text"]
    assert "Missing in the ledger: 1 (credited now)" in found
    assert "Refunded elsewhere: 1 (taken back now)" in found
    assert "Of people unknown here: 1" in found
    assert f"{other}: 90 ≠ 100" in found
    assert unlisted in found
    assert here in found
    assert right not in found
    assert "All the same" not in found
    assert await get_balance(environment.db, ann.id) == Balance(120, 0)
    assert await environment.db.fetchval("SELECT count(*) FROM payments WHERE id = $1", lost) == 1
    assert (
        await environment.db.fetchval("SELECT count(*) FROM payments WHERE id = ANY($1::text[])", [gone, stranger])
        == 0
    )

    listed[other].amount = 100
    del listed[stranger]
    listed[unlisted] = Payment(unlisted, listed[right].bot_id, ann.id, 100, "", listed[right].date)
    listed[unlisted].payload = "found again"
    admin, after = await ask(environment, "/reconcile")
    found = (await admin.wait_for_text("Payments at Telegram", after=after))["text"]
    assert "Missing in the ledger: 0" in found
    assert "Refunded elsewhere: 0" in found
    assert await get_balance(environment.db, ann.id) == Balance(120, 0), "what was put right once stays so"
    assert (await check_ledger(environment.db)).is_consistent


async def test_reconcile_says_when_telegram_does_not_answer(environment: Environment, ann: SandboxUser) -> None:
    await environment.telegram.add_fault(method="getStarTransactions", code=500)
    admin, after = await ask(environment, "/reconcile")
    await admin.wait_for_text("Telegram did not answer", after=after)


async def test_a_grant_is_given_once_and_told(environment: Environment) -> None:
    ann = environment.user(next(_ids), language_code="ru")
    await ann.send_text("/start")
    await ann.wait_for_button(ann.text("button.balance"))
    admin = environment.user(ADMIN)
    sent = await admin.send_text(f"/grant {ann.id} 22 за терпение & доброту")
    await admin.wait_for_text(f"22 Stars are given to {ann.id}, who is told")
    assert "за терпение & доброту" in (await ann.wait_for_text("Вам подарены 22 звезды"))["text"]
    await environment.telegram.call("POST", "/sim/repeat", {"update_id": sent["update_id"], "times": 3})
    admin, after = await ask(environment, f"/user {ann.id}")
    card = await admin.wait_for_text("Credits: 22 ⭐", after=after)
    assert f"{ADMIN}: +22 ⭐ за терпение & доброту" in card["text"]

    studio = AppContext(environment.db, {}, TEXTS, cast("Any", None))
    about: dict[str, Any] = {"user_id": ann.id, "stars": 3, "admin": ADMIN, "reason": ""}
    given = await asyncio.gather(
        *(give_bonus_credits(studio, key=f"one-update-{ann.id}", **about) for _ in range(5))
    )
    assert sorted(given) == [False] * 4 + [True]
    assert await get_balance(environment.db, ann.id) == Balance(25, 0)


async def test_a_grant_is_a_whole_number_above_zero_for_somebody_known(
    environment: Environment, ann: SandboxUser
) -> None:
    for words in ("", f"{ann.id}", f"{ann.id} -5", f"{ann.id} 0", f"{ann.id} 1.5", f"{ann.id} 100001", "5 ٣"):
        admin, after = await ask(environment, f"/grant {words}")
        await admin.wait_for_text("/grant 1001 50", after=after)
    for nobody in ("999999999", "@nobody_has_this_name", "9" * 30, "somebody"):
        admin, after = await ask(environment, f"/grant {nobody} 5")
        await admin.wait_for_text("Nobody here has this id", after=after)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)


async def test_the_card_by_name_with_notes_orders_and_payments(environment: Environment, ann: SandboxUser) -> None:
    charge = await pay(environment, ann)
    await ann.order_by_prompt()
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    await environment.db.execute("UPDATE users SET username = $2 WHERE id = $1", ann.id, f"Ann_{ann.id}")
    admin, after = await ask(environment, f"/user @ann_{ann.id} note likes  <owls>\nand lighthouses")
    card = await admin.wait_for_text("Last orders", after=after)
    for words in (
        f"Ann @Ann_{ann.id} · {ann.id}", "🟢 active · en", "Credits: 49 ⭐, held 0 ⭐, owed 0 ⭐",
        "Orders: 1, of them made 1 · paid 50 ⭐, of them refunded 0 ⭐", "✅", "Text to image · 1 ⭐",
        f"{ADMIN}: likes <owls> and lighthouses",
    ):  # fmt: skip
        assert words in card["text"], words
    await admin.tap("↩️ 50 ⭐", message_id=card["message_id"])
    await admin.wait_for_text(charge, after=after)
    for words in ("", f"{ann.id} something else", f"{ann.id} note"):
        admin, after = await ask(environment, f"/user {words}")
        await admin.wait_for_text("/user 1001", after=after)


async def test_who_is_blocked_is_told_once_and_answered_by_support_only(
    environment: Environment, ann: SandboxUser
) -> None:
    """What they have ordered still comes."""
    await pay(environment, ann)
    await ann.wait_for_text("Thank you!")
    environment.replicate.behaviour.seconds = 3600
    await ann.order_by_prompt()
    await wait_until(lambda: _made_for(environment, ann), what="the provider is at it")
    environment.replicate.behaviour.seconds = 0.0

    admin, after = await ask(environment, f"/user {ann.id}")
    await admin.wait_for_button("Block", after=after)
    await admin.tap(chat_text("user.button.block"))
    await admin.wait_for_text("⛔️ blocked by an admin", after=after)

    begun = (await ann.send_text("hello"))["message"]["message_id"]
    blocked = chat_text("blocked.told")
    await ann.wait_for_text(blocked)
    taps = len(await environment.telegram.toasts())
    for words in ("/menu", "a lighthouse", "/support"):
        await ann.send_text(words)
    await ann.wait_for_text(chat_text("support.here"), after=begun)
    await ann.send_text("/paysupport")
    await ann.tap("Menu")
    await ann.send_text("/terms")
    await ann.wait_for_text("The terms in short", after=begun)
    heard = [m["text"] for m in await ann.bot_messages() if m["message_id"] > begun]
    assert heard.count(blocked) == 1
    assert len(heard) == 4, heard
    assert (await environment.telegram.toasts())[taps:] == [""], "a tap's spinner ends, and nothing is said twice"

    for prediction in environment.replicate.predictions:
        prediction.seconds = 0.0
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    assert len(await ann.photo_messages()) == 1

    await admin.tap(chat_text("user.button.unblock"))
    await admin.wait_for_text("🟢 active", after=after)
    sent = await ann.send_text("/menu")
    await ann.wait_for_button("Text to image", after=sent["message"]["message_id"])


async def _made_for(environment: Environment, user: SandboxUser) -> bool:
    query = "SELECT count(*) > 0 FROM jobs WHERE user_id = $1 AND state = 'running' AND NOT internal"
    return bool(environment.replicate.predictions) and bool(await environment.db.fetchval(query, user.id))


async def test_an_admin_is_not_blocked(environment: Environment) -> None:
    admin, after = await ask(environment, f"/user {ADMIN}")
    await admin.wait_for_button("Block", after=after)
    await admin.tap(chat_text("user.button.block"))
    await wait_until(lambda: _in(environment, chat_text("user.is_admin")), what="it is refused")
    assert not await environment.db.fetchval("SELECT blocked FROM users WHERE id = $1", ADMIN)


async def _in(environment: Environment, toast: str) -> bool:
    return toast in await environment.telegram.toasts()


async def test_for_others_none_of_it_exists(environment: Environment, ann: SandboxUser) -> None:
    charge = await pay(environment, ann)
    for words in (
        "/no_such_command", "/refund", f"/refund {charge}", "/reconcile", f"/grant {ann.id} 5",
        f"/user {ADMIN}", "/stats",
    ):  # fmt: skip
        sent = await ann.send_text(words)
        await ann.wait_for_text(ann.text("other.command"), after=sent["message"]["message_id"])
    last = (await ann.bot_messages())[-1]["message_id"]
    for tap in (
        RefundCallback(action="sure", user=ann.id, mark=payment_digest(charge)),
        UserCallback(action="block", user=ADMIN),
    ):
        before = len(await environment.telegram.toasts())
        await ann.tap("", data=tap.pack(), message_id=last)

        async def refused(before: int = before) -> bool:
            return ann.text("stale.button") in (await environment.telegram.toasts())[before:]

        await wait_until(refused, what="the button is refused as any old one is")
    assert await environment.db.fetchval("SELECT count(*) FROM refunds WHERE charge_id = $1", charge) == 0
    assert "/refund" not in str(await environment.telegram.api_calls("setMyCommands"))


async def test_stats_are_shown_drawn_and_sent_as_a_table(environment: Environment, ann: SandboxUser) -> None:
    await pay(environment, ann)
    admin, after = await ask(environment, "/stats")
    await admin.wait_for_text("📊 Today", after=after)
    await admin.tap("7 days")
    shown = await admin.wait_for_text("📊 7 days", after=after)
    assert "A Star counts as $0.013" in shown["text"]
    await admin.tap("📈 Picture")
    picture = await file_of(admin, "photo", after)
    assert (picture["width"], picture["height"]) == (1200, 1000)
    await admin.tap("📄 CSV")
    table = await file_of(admin, "document", after)
    assert table["file_name"].startswith("diptych-week-")


async def file_of(user: SandboxUser, kind: str, after: int) -> Any:
    async def look() -> Any:
        newer = [m for m in await user.bot_messages() if m["message_id"] > after]
        return next((each for message in newer for each in message["media"] if each["kind"] == kind), None)

    return await wait_until(look, what=f"a {kind} comes")
