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

from handlers.admin.refunds import RefundTap
from handlers.admin.user_card import UserTap
from sandbox.telegram.state.payments import Payment
from services.billing.bonuses import grant
from services.messaging.app_context import Studio
from storage.money.ledger import Balance, check_ledger, get_balance, move
from storage.money.payments import mark_of
from storage.pool import create_pool
from tests.support.environments.environment import TEXTS, Person, Stage, labels, said, until
from tests.support.processes.bot_process import Forge

ADMIN = 7
_ids = itertools.count(2001)


@pytest.fixture(scope="module")
async def house(postgres: str, forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    server, name = await asyncpg.connect(postgres), f"admins_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = f"{postgres.rpartition('/')[0]}/{name}"
    db = await create_pool(dsn, size=5)
    stage = Stage(db, dsn, tmp_path_factory.mktemp("admins"), forge)
    await stage.open()
    await stage.start_bot(ADMIN_IDS=str(ADMIN), WELCOME_CREDITS="0", ready=False)
    await stage.person(ADMIN).say("/start")
    yield stage
    await stage.close()
    await db.close()
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def ann(house: Stage) -> AsyncIterator[Person]:
    """Somebody new, who has agreed to the terms."""
    ann = house.person(next(_ids))
    await ann.say("/start")
    await ann.can_tap("Text to image")
    await house.db.execute("UPDATE users SET terms_at = now() WHERE id = $1", ann.id)
    yield ann
    await house.telegram.call("DELETE", "/sim/fault")


async def pay(house: Stage, person: Person, stars: int = 50) -> str:
    """Buy a pack; the charge's id."""
    before = (await get_balance(house.db, person.id)).available
    after = (await person.say("/topup"))["message"]["message_id"]
    await person.can_tap(f"{stars} ⭐", after=after)
    await person.tap(f"{stars} ⭐")
    await person.can_tap(f"Pay ⭐️{stars}", after=after)
    paid = await house.telegram.call("POST", "/sim/pay", {"user_id": person.id})
    charge: str = paid["message"]["successful_payment"]["telegram_payment_charge_id"]

    async def credited() -> bool:
        return (await get_balance(house.db, person.id)).available > before

    await until(credited, what=f"{person.id} is credited")
    return charge


async def spend(house: Stage, person: Person, stars: int) -> None:
    key = f"test:{secrets.token_hex(4)}"
    assert await move(
        house.db, key=key, kind="test", user_id=person.id, source="available", target="revenue", amount=stars
    )


async def ask(house: Stage, text: str) -> tuple[Person, int]:
    """What an admin writes; the admin, and the id of that message."""
    admin = house.person(ADMIN)
    return admin, (await admin.say(text))["message"]["message_id"]


async def tap_refund(house: Stage, charge: str, stars: int = 50) -> None:
    """Tap the card's button, and wait until the outbox is through; the time between tries is not waited for."""
    tapped_at = await house.db.fetchval("SELECT now()")
    await house.person(ADMIN).tap(said("refund.sure", stars=stars))
    query = "SELECT count(*) FROM refunds WHERE charge_id = $1 AND asked_at >= $2 AND done_at IS NOT NULL"

    async def done() -> bool:
        await house.db.execute("UPDATE refunds SET next_at = now() WHERE done_at IS NULL AND error <> ''")
        return bool(await house.db.fetchval(query, charge, tapped_at))

    await until(done, what="the refund is done")


async def refund(house: Stage, charge: str, stars: int = 50) -> int:
    """Ask for a refund as an admin does; the id of the message that asked."""
    admin, after = await ask(house, f"/refund {charge}")
    await admin.can_tap(said("refund.sure", stars=stars), after=after)
    await tap_refund(house, charge, stars)
    return after


async def test_telegram_fails_three_times_and_the_refund_is_done_at_the_fourth_once(
    house: Stage, ann: Person
) -> None:
    charge = await pay(house, ann)
    admin, after = await ask(house, "/refund")
    label = f"50 ⭐ · {ann.id}"
    await admin.can_tap(label, after=after)
    await admin.tap(label)
    card = await admin.sees(charge, after=after)
    assert "Nothing of it is spent" in card["text"]
    await house.telegram.fault(method="refundStarPayment", code=500, times=3)
    calls = len(await house.telegram.calls("refundStarPayment"))
    await tap_refund(house, charge)
    assert len(await house.telegram.calls("refundStarPayment")) == calls + 4
    assert await get_balance(house.db, ann.id) == Balance(0, 0)
    await ann.sees("Your payment of 50 Stars was refunded")
    told = await admin.sees(f"Refunded 50 ⭐ to {ann.id}; all of it was still there", after=after)
    assert str(ADMIN) in told["text"]

    admin, after = await ask(house, f"/refund {charge}")
    again = await admin.sees("It was refunded", after=after)
    assert said("refund.sure", stars=50) not in labels(again)
    await admin.tap(said("refund.list_button"))
    await admin.can_tap("✔︎ 50 ⭐", after=after)
    assert len([m for m in await ann.from_bot() if "was refunded" in (m["text"] or "")]) == 1
    assert (await check_ledger(house.db)).right


async def test_what_telegram_has_refunded_already_counts_as_done(house: Stage, ann: Person) -> None:
    """With a month of a subscription its bonus goes as well."""
    charge = await pay(house, ann)
    bonus = f"subscription:{charge}"
    await move(house.db, key=bonus, kind="test", user_id=ann.id, source="bonuses", target="available", amount=30)
    admin, after = await ask(house, f"/refund {charge}")
    card = await admin.sees("all 80 ⭐ are taken back", after=after)
    assert "its bonus of 30 ⭐" in card["text"]
    await house.telegram.fault(
        method="refundStarPayment", code=400, description="Bad Request: CHARGE_ALREADY_REFUNDED"
    )
    await refund(house, charge)
    assert await get_balance(house.db, ann.id) == Balance(0, 0)
    assert await house.db.fetchval("SELECT refunded_at IS NOT NULL FROM charges WHERE id = $1", charge)


async def test_what_telegram_refuses_for_good_is_told_and_may_be_asked_for_again(
    house: Stage, ann: Person
) -> None:
    charge = await pay(house, ann)
    await house.telegram.fault(method="refundStarPayment", code=400, description="Bad Request: BALANCE_TOO_LOW")
    after = await refund(house, charge)
    admin = house.person(ADMIN)
    await admin.sees("Telegram refuses to refund", after=after)
    assert await get_balance(house.db, ann.id) == Balance(50, 0)
    admin, after = await ask(house, f"/refund {charge}")
    await admin.sees("BALANCE_TOO_LOW. It can be asked for again", after=after)
    await refund(house, charge)
    assert await get_balance(house.db, ann.id) == Balance(0, 0)


async def test_a_refund_of_spent_credits_is_owed_and_settled_by_the_next_payment(
    house: Stage, ann: Person
) -> None:
    charge = await pay(house, ann)
    await spend(house, ann, 30)
    admin, after = await ask(house, f"/refund {charge}")
    card = await admin.sees("20 ⭐ are still there", after=after)
    assert "30 ⭐ are spent" in card["text"]
    await refund(house, charge)
    assert await get_balance(house.db, ann.id) == Balance(0, 0, 30)
    await admin.sees(f"to {ann.id}, who had spent 30 of them", after=after)
    await pay(house, ann)
    assert await get_balance(house.db, ann.id) == Balance(20, 0)
    assert (await check_ledger(house.db)).right


async def test_a_payment_that_nobody_made_cannot_be_refunded(house: Stage) -> None:
    admin, after = await ask(house, "/refund stx-nobody's")
    await admin.sees("There is no payment with this id", after=after)


async def test_reconcile_credits_what_was_lost_and_takes_back_what_was_refunded_elsewhere(
    house: Stage, ann: Person
) -> None:
    """Of eight payments, each is wrong in a way of its own, or right."""
    right, elsewhere, other, unlisted, here = [await pay(house, ann, 100) for _ in range(5)]
    await spend(house, ann, 250)
    await house.telegram.fault(
        method="refundStarPayment", code=400, description="Bad Request: CHARGE_ALREADY_REFUNDED"
    )
    await refund(house, here, 100)  # as it never was
    world = house.telegram._stand.world
    listed = world.payments.payments
    lost = house.telegram.pay_without_update(ann.id, 70, "not ours, but paid")
    gone = house.telegram.pay_without_update(ann.id, 71, "lost, and refunded before we heard of it")
    stranger = house.telegram.pay_without_update(999_999_999, 72, "of nobody we know")
    for charge in (elsewhere, gone):
        listed[charge].refunded = int(datetime.now(UTC).timestamp())
    listed[other].amount = 90
    del listed[unlisted]
    await house.db.execute(
        """UPDATE charges SET created_at = created_at - interval '1 hour',
        refunded_at = refunded_at - interval '1 hour' WHERE user_id = $1""",
        ann.id,
    )
    admin, after = await ask(house, "/reconcile")
    found = (await admin.sees("Payments at Telegram", after=after))["text"]
    assert "Missing in the ledger: 1 (credited now)" in found
    assert "Refunded elsewhere: 1 (taken back now)" in found
    assert "Of people unknown here: 1" in found
    assert f"{other}: 90 ≠ 100" in found
    assert unlisted in found
    assert here in found
    assert right not in found
    assert "All the same" not in found
    assert await get_balance(house.db, ann.id) == Balance(120, 0)
    assert await house.db.fetchval("SELECT count(*) FROM charges WHERE id = $1", lost) == 1
    assert (
        await house.db.fetchval("SELECT count(*) FROM charges WHERE id = ANY($1::text[])", [gone, stranger]) == 0
    )

    listed[other].amount = 100
    del listed[stranger]
    listed[unlisted] = Payment(unlisted, listed[right].bot_id, ann.id, 100, "", listed[right].date)
    listed[unlisted].payload = "found again"
    admin, after = await ask(house, "/reconcile")
    found = (await admin.sees("Payments at Telegram", after=after))["text"]
    assert "Missing in the ledger: 0" in found
    assert "Refunded elsewhere: 0" in found
    assert await get_balance(house.db, ann.id) == Balance(120, 0), "what was put right once stays so"
    assert (await check_ledger(house.db)).right


async def test_reconcile_says_when_telegram_does_not_answer(house: Stage, ann: Person) -> None:
    await house.telegram.fault(method="getStarTransactions", code=500)
    admin, after = await ask(house, "/reconcile")
    await admin.sees("Telegram did not answer", after=after)


async def test_a_grant_is_given_once_and_told(house: Stage) -> None:
    ann = house.person(next(_ids), language_code="ru")
    await ann.say("/start")
    await ann.can_tap(ann.said("button.balance"))
    admin = house.person(ADMIN)
    sent = await admin.say(f"/grant {ann.id} 22 за терпение & доброту")
    await admin.sees(f"22 Stars are given to {ann.id}, who is told")
    assert "за терпение & доброту" in (await ann.sees("Вам подарены 22 звезды"))["text"]
    await house.telegram.call("POST", "/sim/repeat", {"update_id": sent["update_id"], "times": 3})
    admin, after = await ask(house, f"/user {ann.id}")
    card = await admin.sees("Credits: 22 ⭐", after=after)
    assert f"{ADMIN}: +22 ⭐ за терпение & доброту" in card["text"]

    studio = Studio(house.db, {}, TEXTS, cast("Any", None))
    about: dict[str, Any] = {"user_id": ann.id, "stars": 3, "admin": ADMIN, "reason": ""}
    given = await asyncio.gather(*(grant(studio, key=f"one-update-{ann.id}", **about) for _ in range(5)))
    assert sorted(given) == [False] * 4 + [True]
    assert await get_balance(house.db, ann.id) == Balance(25, 0)


async def test_a_grant_is_a_whole_number_above_zero_for_somebody_known(house: Stage, ann: Person) -> None:
    for words in ("", f"{ann.id}", f"{ann.id} -5", f"{ann.id} 0", f"{ann.id} 1.5", f"{ann.id} 100001", "5 ٣"):
        admin, after = await ask(house, f"/grant {words}")
        await admin.sees("/grant 1001 50", after=after)
    for nobody in ("999999999", "@nobody_has_this_name", "9" * 30, "somebody"):
        admin, after = await ask(house, f"/grant {nobody} 5")
        await admin.sees("Nobody here has this id", after=after)
    assert await get_balance(house.db, ann.id) == Balance(0, 0)


async def test_the_card_by_name_with_notes_orders_and_payments(house: Stage, ann: Person) -> None:
    charge = await pay(house, ann)
    await ann.quick_order()
    await ann.sees(ann.said("progress.succeeded", price=1))
    await house.db.execute("UPDATE users SET username = $2 WHERE id = $1", ann.id, f"Ann_{ann.id}")
    admin, after = await ask(house, f"/user @ann_{ann.id} note likes  <owls>\nand lighthouses")
    card = await admin.sees("Last orders", after=after)
    for words in (
        f"Ann @Ann_{ann.id} · {ann.id}", "🟢 active · en", "Credits: 49 ⭐, held 0 ⭐, owed 0 ⭐",
        "Orders: 1, of them made 1 · paid 50 ⭐, of them refunded 0 ⭐", "✅", "Text to image · 1 ⭐",
        f"{ADMIN}: likes <owls> and lighthouses",
    ):  # fmt: skip
        assert words in card["text"], words
    await admin.tap("↩️ 50 ⭐", message_id=card["message_id"])
    await admin.sees(charge, after=after)
    for words in ("", f"{ann.id} something else", f"{ann.id} note"):
        admin, after = await ask(house, f"/user {words}")
        await admin.sees("/user 1001", after=after)


async def test_who_is_blocked_is_told_once_and_answered_by_support_only(house: Stage, ann: Person) -> None:
    """What they have ordered still comes."""
    await pay(house, ann)
    await ann.sees("Thank you!")
    house.replicate.knobs.seconds = 3600
    await ann.quick_order()
    await until(lambda: _made_for(house, ann), what="the provider is at it")
    house.replicate.knobs.seconds = 0.0

    admin, after = await ask(house, f"/user {ann.id}")
    await admin.can_tap("Block", after=after)
    await admin.tap(said("user.button.block"))
    await admin.sees("⛔️ blocked by an admin", after=after)

    begun = (await ann.say("hello"))["message"]["message_id"]
    blocked = said("blocked.told")
    await ann.sees(blocked)
    taps = len(await house.telegram.toasts())
    for words in ("/menu", "a lighthouse", "/support"):
        await ann.say(words)
    await ann.sees(said("support.here"), after=begun)
    await ann.say("/paysupport")
    await ann.tap("Menu")
    await ann.say("/terms")
    await ann.sees("The terms in short", after=begun)
    heard = [m["text"] for m in await ann.from_bot() if m["message_id"] > begun]
    assert heard.count(blocked) == 1
    assert len(heard) == 4, heard
    assert (await house.telegram.toasts())[taps:] == [""], "a tap's spinner ends, and nothing is said twice"

    for prediction in house.replicate.predictions:
        prediction.seconds = 0.0
    await ann.sees(ann.said("progress.succeeded", price=1))
    assert len(await ann.photos()) == 1

    await admin.tap(said("user.button.unblock"))
    await admin.sees("🟢 active", after=after)
    sent = await ann.say("/menu")
    await ann.can_tap("Text to image", after=sent["message"]["message_id"])


async def _made_for(house: Stage, person: Person) -> bool:
    query = "SELECT count(*) > 0 FROM jobs WHERE user_id = $1 AND state = 'running' AND NOT errand"
    return bool(house.replicate.predictions) and bool(await house.db.fetchval(query, person.id))


async def test_an_admin_is_not_blocked(house: Stage) -> None:
    admin, after = await ask(house, f"/user {ADMIN}")
    await admin.can_tap("Block", after=after)
    await admin.tap(said("user.button.block"))
    await until(lambda: _in(house, said("user.is_admin")), what="it is refused")
    assert not await house.db.fetchval("SELECT blocked FROM users WHERE id = $1", ADMIN)


async def _in(house: Stage, toast: str) -> bool:
    return toast in await house.telegram.toasts()


async def test_for_others_none_of_it_exists(house: Stage, ann: Person) -> None:
    charge = await pay(house, ann)
    for words in (
        "/no_such_command", "/refund", f"/refund {charge}", "/reconcile", f"/grant {ann.id} 5",
        f"/user {ADMIN}", "/stats",
    ):  # fmt: skip
        sent = await ann.say(words)
        await ann.sees(ann.said("other.command"), after=sent["message"]["message_id"])
    last = (await ann.from_bot())[-1]["message_id"]
    for tap in (
        RefundTap(action="sure", user=ann.id, mark=mark_of(charge)),
        UserTap(action="block", user=ADMIN),
    ):
        before = len(await house.telegram.toasts())
        await ann.tap("", data=tap.pack(), message_id=last)

        async def refused(before: int = before) -> bool:
            return ann.said("stale.button") in (await house.telegram.toasts())[before:]

        await until(refused, what="the button is refused as any old one is")
    assert await house.db.fetchval("SELECT count(*) FROM refunds WHERE charge_id = $1", charge) == 0
    assert "/refund" not in str(await house.telegram.calls("setMyCommands"))


async def test_stats_are_shown_drawn_and_sent_as_a_table(house: Stage, ann: Person) -> None:
    await pay(house, ann)
    admin, after = await ask(house, "/stats")
    await admin.sees("📊 Today", after=after)
    await admin.tap("7 days")
    shown = await admin.sees("📊 7 days", after=after)
    assert "A Star counts as $0.013" in shown["text"]
    await admin.tap("📈 Picture")
    picture = await file_of(admin, "photo", after)
    assert (picture["width"], picture["height"]) == (1200, 1000)
    await admin.tap("📄 CSV")
    table = await file_of(admin, "document", after)
    assert table["file_name"].startswith("diptych-week-")


async def file_of(person: Person, kind: str, after: int) -> Any:
    async def look() -> Any:
        newer = [m for m in await person.from_bot() if m["message_id"] > after]
        return next((each for message in newer for each in message["media"] if each["kind"] == kind), None)

    return await until(look, what=f"a {kind} comes")
