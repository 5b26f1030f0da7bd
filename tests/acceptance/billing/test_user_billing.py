"""What people do about money beside topping up: subscribe, invite, redeem a code, read the statement."""

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
import pytest

from services.ledger import credits as ledger
from storage.money.ledger import Balance, check_ledger, get_balance
from storage.money.subscriptions import current_subscription
from storage.pool import create_pool
from storage.reports.account_statement import get_statement
from tests.support.environments.environment import (
    Environment,
    Message,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.processes.bot_process import ProcessPool

ADMIN = 7
STARS = 100


@pytest.fixture(scope="module")
async def environment(
    postgres: str, process_pool: ProcessPool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    """One bot for all of this module; each test has people of its own, who begin with 100 Stars."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    db = await create_pool(dsn, size=5)
    environment = Environment(db, dsn, tmp_path_factory.mktemp("money"), process_pool)
    await environment.open()
    try:
        await environment.inngest.close()
        await environment.start_bot(ready=False, ADMIN_IDS=str(ADMIN))
        yield environment
    finally:
        await environment.close()
        await db.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


def links(message: Message) -> dict[str, str]:
    """The link buttons: where each leads."""
    return {b["text"]: b["url"] for row in message["keyboard"] for b in row if "url" in b}


async def pay(user: SandboxUser, link: str) -> dict[str, Any]:
    answer: dict[str, Any] = await user.telegram.call("POST", "/sim/pay", {"user_id": user.id, "link": link})
    return answer


async def open_tiers(user: SandboxUser) -> dict[str, str]:
    """The links to subscribe by, of somebody who agrees to the terms."""
    await user.send_text("/subscribe")
    await user.wait_for_button(user.text("button.agree"))
    await user.tap(user.text("button.agree"))

    async def look() -> dict[str, str]:
        return links((await user.bot_messages())[-1])

    found: dict[str, str] = await wait_until(look, what="the plans have links")
    return found


async def subscribed(user: SandboxUser, plan: str, thanks: int) -> dict[str, str]:
    offered = await open_tiers(user)
    assert (await pay(user, offered[plan]))["paid"]
    await user.wait_for_text(user.text("subscription.thanks", thanks))
    return offered


async def renew(user: SandboxUser) -> dict[str, Any]:
    answer: dict[str, Any] = await user.telegram.call("POST", "/sim/subscription/renew", {"user_id": user.id})
    return answer


async def payments(environment: Environment, user: SandboxUser) -> list[tuple[int, bool]]:
    rows = await environment.db.fetch(
        "SELECT stars, recurring FROM payments WHERE user_id = $1 ORDER BY created_at", user.id
    )
    return [(row["stars"], row["recurring"]) for row in rows]


# ---------------------------------------------------------------- subscriptions


async def test_a_month_of_a_subscription_is_credited_once_however_often_it_is_told(
    environment: Environment,
) -> None:
    ann = environment.user(2001)
    await subscribed(ann, "Light · 150 ⭐ a month", 180)
    assert await get_balance(environment.db, ann.id) == Balance(STARS + 180, 0)
    first = await current_subscription(environment.db, ann.id)
    assert first is not None
    month = await renew(ann)
    await ann.wait_for_text(ann.text("subscription.renewed", 180))
    await environment.telegram.call("POST", "/sim/update", {"update": {"message": month["message"]}, "times": 5})
    await ann.send_text("/balance")
    await ann.wait_for_text("You have 460 Stars")
    assert await payments(environment, ann) == [(150, False), (150, True)]
    second = await current_subscription(environment.db, ann.id)
    assert second is not None
    assert (second.id, second.charge_id) == (first.id, first.charge_id)
    assert (second.expires_at - first.expires_at).days == 30
    assert len([m for m in await ann.bot_messages() if "Your subscription goes on" in message_text(m)]) == 1
    assert (await check_ledger(environment.db)).is_consistent


async def test_cancel_and_resume_are_told_to_telegram_and_its_refusal_to_the_person(
    environment: Environment,
) -> None:
    ann = environment.user(2002)
    await subscribed(ann, "Studio · 450 ⭐ a month", 600)
    await ann.send_text("/subscription")
    card = await ann.wait_for_button(ann.text("button.cancel_subscription"))
    assert "Telegram then takes 450 Stars by itself" in message_text(card)
    assert ann.text("subscription.invoice", 600, discount=10) in message_text(card)

    await environment.telegram.add_fault(method="editUserStarSubscription", code=400)
    await ann.tap(ann.text("button.cancel_subscription"))
    await wait_until(lambda: toasted(environment, ann.text("subscription.refused")), what="the refusal is told")
    assert await cancelled(environment, ann) is False

    await ann.tap(ann.text("button.cancel_subscription"))
    card = await ann.wait_for_button(ann.text("button.resume_subscription"))
    assert "It is cancelled and ends on" in message_text(card)
    assert await cancelled(environment, ann) is True
    with pytest.raises(AssertionError, match="cancelled"):
        await renew(ann)

    await ann.tap(ann.text("button.resume_subscription"))
    await ann.wait_for_button(ann.text("button.cancel_subscription"))
    assert await cancelled(environment, ann) is False
    assert (await renew(ann))["paid"]
    await ann.wait_for_text(ann.text("subscription.renewed", 600))
    asked = [
        call["params"]["is_canceled"] for call in await environment.telegram.api_calls("editUserStarSubscription")
    ]
    assert [json.loads(str(each).lower()) for each in asked] == [True, True, False]


async def cancelled(environment: Environment, user: SandboxUser) -> bool:
    running = await current_subscription(environment.db, user.id)
    assert running is not None
    return running.cancelled


async def toasted(environment: Environment, text: str) -> bool:
    return text in await environment.telegram.toasts()


async def test_a_second_plan_is_refused_even_by_an_old_link(environment: Environment) -> None:
    ann, eve = environment.user(2003), environment.user(2004)
    await eve.send_text("/start")
    offered = await open_tiers(ann)
    stolen = await pay(eve, offered["Light · 150 ⭐ a month"])
    assert (stolen["paid"], stolen["error_message"]) == (False, eve.text("topup.unknown"))
    assert (await pay(ann, offered["Light · 150 ⭐ a month"]))["paid"]
    await ann.wait_for_text(ann.text("subscription.thanks", 180))
    for link in offered.values():
        refused = await pay(ann, link)
        assert (refused["paid"], refused["error_message"]) == (False, ann.text("subscription.one_at_a_time"))
    await ann.send_text("/subscribe")
    card = await ann.wait_for_button(ann.text("button.cancel_subscription"))
    assert links(card) == {}
    assert await payments(environment, ann) == [(150, False)]


async def test_the_discount_is_on_the_card_and_in_the_charge(environment: Environment) -> None:
    ann = environment.user(2005)
    await subscribed(ann, "Pro · 1200 ⭐ a month", 1800)
    await ann.open_card_by_prompt()
    await ann.tap("🤖")
    await ann.wait_for_button("Luma Photon · 5 ⭐")
    await ann.tap("Luma Photon · 5 ⭐")
    await ann.wait_for_button("Create · 4 ⭐")
    await ann.tap("Create · 4 ⭐")
    await ann.wait_for_text(ann.text("progress.succeeded", price=4))
    assert await get_balance(environment.db, ann.id) == Balance(STARS + 1800 - 4, 0)
    prices = "SELECT array_agg(price) FROM jobs WHERE user_id = $1 AND NOT internal"
    assert await environment.db.fetchval(prices, ann.id) == [4]


async def test_what_costs_more_than_the_button_says_is_not_ordered(environment: Environment) -> None:
    """The subscription ends between the card and the tap."""
    ann = environment.user(2006)
    await subscribed(ann, "Pro · 1200 ⭐ a month", 1800)
    await ann.open_card_by_prompt()
    await ann.tap("🤖")
    await ann.wait_for_button("Luma Photon · 5 ⭐")
    await ann.tap("Luma Photon · 5 ⭐")
    card = await ann.wait_for_button("Create · 4 ⭐")
    await environment.db.execute("UPDATE users SET discount_until = now() WHERE id = $1", ann.id)
    await ann.tap("Create · 4 ⭐")
    await ann.wait_for_button("Create · 5 ⭐", after=card["message_id"])
    assert ann.text("order.dearer") in await environment.telegram.toasts()
    assert (
        await environment.db.fetchval("SELECT count(*) FROM jobs WHERE user_id = $1 AND NOT internal", ann.id) == 0
    )
    await ann.tap("Create · 5 ⭐")
    await ann.wait_for_text(ann.text("progress.succeeded", price=5))


# ---------------------------------------------------------------- invitations


async def test_a_friends_first_payment_rewards_the_inviter_once(environment: Environment) -> None:
    ann, bob = environment.user(3001), environment.user(3002)
    await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")
    await ann.send_text("/invite")
    shown = await ann.wait_for_text("https://t.me/")
    assert ann.text("invite.nobody") in message_text(shown)
    (link,) = [word for word in message_text(shown).split() if word.startswith("https://t.me/")]
    username = (await environment.telegram.call("GET", f"/sim/chat/{ann.id}"))["bot"]["username"]
    assert link == f"https://t.me/{username}?start=ref_{ann.id:x}"
    assert parse_qs(urlsplit(links(shown)[ann.text("button.share")]).query)["url"] == [link]

    start = f"/start {link.partition('start=')[2]}"
    await ann.send_text(start)
    await ann.wait_for_text(ann.text("invite.own"))
    for _ in range(2):
        await bob.send_text(start)
    await bob.wait_for_text(ann.text("invite.taken"))
    await subscribed(bob, "Light · 150 ⭐ a month", 180)
    await renew(bob)
    await ann.wait_for_text(ann.text("invite.rewarded", 20))
    await bob.wait_for_text(bob.text("subscription.renewed", 180))
    await ann.send_text("/invite")
    await ann.wait_for_text(ann.text("invite.came", 1, rewarded=1))
    assert await get_balance(environment.db, ann.id) == Balance(STARS + 20, 0)
    assert len([m for m in await bob.bot_messages() if bob.text("invite.taken") in message_text(m)]) == 1

    await bob.send_text("/invite")
    await bob.wait_for_text(f"ref_{bob.id:x}")
    await ann.send_text(f"/start ref_{bob.id:x}")
    await ann.send_text("/start ref_ffffffffffffffffffffffffffffff")
    await ann.send_text("/invite")
    await wait_until(lambda: count_texts(ann, ann.text("invite.came", 1, rewarded=1), 2), what="all was answered")
    assert await environment.db.fetchval("SELECT invited_by FROM users WHERE id = $1", ann.id) is None


async def count_texts(user: SandboxUser, text: str, count: int) -> bool:
    return len([m for m in await user.bot_messages() if text in message_text(m)]) == count


# ---------------------------------------------------------------- promo codes


async def test_a_promo_code_from_its_making_to_its_end(environment: Environment) -> None:
    boss, ann, bob = environment.user(ADMIN), environment.user(4001), environment.user(4002)
    await boss.send_text("/promo new spring 30 1 30d")
    await boss.wait_for_text("SPRING gives 30 Stars")
    await boss.send_text("/promo new spring 30 1 30d")
    await boss.wait_for_text(boss.text("promo.exists", code="SPRING"))
    await boss.send_text("/promo new spring")
    await boss.wait_for_text("/promo list shows the latest")

    await ann.send_text("/promo")
    await ann.wait_for_text(ann.text("promo.ask"))
    await ann.send_text("/promo Spring")
    assert "You have 130 Stars" in message_text(await ann.wait_for_text(ann.text("promo.redeemed", 30)))
    await ann.send_text("/promo spring")
    await ann.wait_for_text(ann.text("promo.yours_already"))
    await bob.send_text("/promo spring")
    await bob.wait_for_text(bob.text("promo.used_up"))
    await bob.send_text("/promo summer")
    await bob.wait_for_text(bob.text("promo.unknown"))
    await bob.send_text("/promo new mine 1000 1000 30d")
    await wait_until(lambda: count_texts(bob, bob.text("promo.unknown"), 2), what="only admins make codes")
    assert await environment.db.fetchval("SELECT count(*) FROM promo_codes") == 1
    await boss.send_text("/promo list")
    await boss.wait_for_text("SPRING · 30 ⭐ · 1 of 1")
    assert await get_balance(environment.db, ann.id) == Balance(130, 0)


# ---------------------------------------------------------------- the statement


async def test_the_statement_in_words_sums_to_the_balance(environment: Environment) -> None:
    ann = environment.user(5001)
    await ann.order_by_prompt()
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    environment.replicate.behaviour.outcome = "fail"
    await ann.order_by_prompt("a ship")
    await ann.wait_for_text(ann.text("progress.failed"))
    environment.replicate.behaviour.outcome = "succeed"
    await subscribed(ann, "Light · 150 ⭐ a month", 180)
    await ann.send_text("/balance")
    await ann.wait_for_button(ann.text("button.statement"))
    await ann.tap(ann.text("button.statement"))
    shown = message_text(await ann.wait_for_text(ann.text("statement.title")))
    moves = [line for line in shown.splitlines() if "→" in line]
    assert moves == [
        "+30 Bonus of Light → 279",
        "+150 Subscription Light → 249",
        "0 🎨 Text to image · not charged → 99",
        "−1 🎨 Text to image → 99",
        "+100 Welcome gift → 100",
    ]
    found = await get_statement(environment.db, ann.id, page=0, size=100)
    assert await get_balance(environment.db, ann.id) == Balance(sum(line.amount for line in found.lines), 0)


async def test_a_long_statement_is_turned_page_by_page(environment: Environment) -> None:
    ann = environment.user(5002)
    await ann.send_text("/balance")
    card = await ann.wait_for_button(ann.text("button.statement"))
    for number in range(1, 12):
        await give(environment, ann.id, number)
    await ann.tap(ann.text("button.statement"))
    first = await ann.wait_for_button("Older")
    assert first["message_id"] == card["message_id"]
    assert "1/2" in button_labels(first)
    assert "+11 From the team → 166" in message_text(first)
    await ann.tap("Older")
    second = await ann.wait_for_button("Newer")
    assert [line for line in message_text(second).splitlines() if "→" in line] == [
        "+1 From the team → 101",
        "+100 Welcome gift → 100",
    ]
    await ann.tap("Newer")
    await ann.wait_for_button("Older")


async def give(environment: Environment, user_id: int, stars: int) -> None:
    await ledger.give_bonus(
        environment.db, key=f"grant:{user_id}:{stars}", kind="grant", user_id=user_id, amount=stars
    )


# ---------------------------------------------------------------- terms and support


async def test_the_terms_say_whether_they_are_agreed_to_and_support_answers(environment: Environment) -> None:
    ann = environment.user(6001)
    await ann.send_text("/terms")
    await ann.wait_for_text(ann.text("terms.later"))
    await open_tiers(ann)
    await ann.send_text("/terms")
    await ann.wait_for_text(ann.text("terms.accepted"))
    for command in ("/support", "/paysupport"):
        await ann.send_text(command)
    await wait_until(lambda: count_texts(ann, ann.text("support.here"), 2), what="support answers")
    await ann.send_text("/subscribe")
    shown = await ann.wait_for_text(ann.text("subscription.about"))
    assert len(links(shown)) == 3, "asked once only"
