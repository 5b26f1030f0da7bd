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
from storage.reports.account_statement import statement
from tests.support.environments.environment import Message, Person, Stage, labels, until, words
from tests.support.processes.bot_process import Forge

ADMIN = 7
STARS = 100


@pytest.fixture(scope="module")
async def studio(postgres: str, forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One bot for all of this module; each test has people of its own, who begin with 100 Stars."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    db = await create_pool(dsn, size=5)
    stage = Stage(db, dsn, tmp_path_factory.mktemp("money"), forge)
    await stage.open()
    try:
        await stage.inngest.close()
        await stage.start_bot(ready=False, ADMIN_IDS=str(ADMIN))
        yield stage
    finally:
        await stage.close()
        await db.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


def links(message: Message) -> dict[str, str]:
    """The link buttons: where each leads."""
    return {b["text"]: b["url"] for row in message["keyboard"] for b in row if "url" in b}


async def pay(person: Person, link: str) -> dict[str, Any]:
    answer: dict[str, Any] = await person.telegram.call("POST", "/sim/pay", {"user_id": person.id, "link": link})
    return answer


async def plans(person: Person) -> dict[str, str]:
    """The links to subscribe by, of somebody who agrees to the terms."""
    await person.say("/subscribe")
    await person.can_tap(person.said("button.agree"))
    await person.tap(person.said("button.agree"))

    async def look() -> dict[str, str]:
        return links((await person.from_bot())[-1])

    found: dict[str, str] = await until(look, what="the plans have links")
    return found


async def subscribed(person: Person, plan: str, thanks: int) -> dict[str, str]:
    offered = await plans(person)
    assert (await pay(person, offered[plan]))["paid"]
    await person.sees(person.said("subscription.thanks", thanks))
    return offered


async def renew(person: Person) -> dict[str, Any]:
    answer: dict[str, Any] = await person.telegram.call("POST", "/sim/subscription/renew", {"user_id": person.id})
    return answer


async def charges(studio: Stage, person: Person) -> list[tuple[int, bool]]:
    rows = await studio.db.fetch(
        "SELECT stars, recurring FROM charges WHERE user_id = $1 ORDER BY created_at", person.id
    )
    return [(row["stars"], row["recurring"]) for row in rows]


# ---------------------------------------------------------------- subscriptions


async def test_a_month_of_a_subscription_is_credited_once_however_often_it_is_told(studio: Stage) -> None:
    ann = studio.person(2001)
    await subscribed(ann, "Light · 150 ⭐ a month", 180)
    assert await get_balance(studio.db, ann.id) == Balance(STARS + 180, 0)
    first = await current_subscription(studio.db, ann.id)
    assert first is not None
    month = await renew(ann)
    await ann.sees(ann.said("subscription.renewed", 180))
    await studio.telegram.call("POST", "/sim/update", {"update": {"message": month["message"]}, "times": 5})
    await ann.say("/balance")
    await ann.sees("You have 460 Stars")
    assert await charges(studio, ann) == [(150, False), (150, True)]
    second = await current_subscription(studio.db, ann.id)
    assert second is not None
    assert (second.id, second.charge_id) == (first.id, first.charge_id)
    assert (second.expires_at - first.expires_at).days == 30
    assert len([m for m in await ann.from_bot() if "Your subscription goes on" in words(m)]) == 1
    assert (await check_ledger(studio.db)).right


async def test_cancel_and_resume_are_told_to_telegram_and_its_refusal_to_the_person(studio: Stage) -> None:
    ann = studio.person(2002)
    await subscribed(ann, "Studio · 450 ⭐ a month", 600)
    await ann.say("/subscription")
    card = await ann.can_tap(ann.said("button.cancel_subscription"))
    assert "Telegram then takes 450 Stars by itself" in words(card)
    assert ann.said("subscription.invoice", 600, discount=10) in words(card)

    await studio.telegram.fault(method="editUserStarSubscription", code=400)
    await ann.tap(ann.said("button.cancel_subscription"))
    await until(lambda: toasted(studio, ann.said("subscription.refused")), what="the refusal is told")
    assert await cancelled(studio, ann) is False

    await ann.tap(ann.said("button.cancel_subscription"))
    card = await ann.can_tap(ann.said("button.resume_subscription"))
    assert "It is cancelled and ends on" in words(card)
    assert await cancelled(studio, ann) is True
    with pytest.raises(AssertionError, match="cancelled"):
        await renew(ann)

    await ann.tap(ann.said("button.resume_subscription"))
    await ann.can_tap(ann.said("button.cancel_subscription"))
    assert await cancelled(studio, ann) is False
    assert (await renew(ann))["paid"]
    await ann.sees(ann.said("subscription.renewed", 600))
    asked = [call["params"]["is_canceled"] for call in await studio.telegram.calls("editUserStarSubscription")]
    assert [json.loads(str(each).lower()) for each in asked] == [True, True, False]


async def cancelled(studio: Stage, person: Person) -> bool:
    running = await current_subscription(studio.db, person.id)
    assert running is not None
    return running.cancelled


async def toasted(studio: Stage, text: str) -> bool:
    return text in await studio.telegram.toasts()


async def test_a_second_plan_is_refused_even_by_an_old_link(studio: Stage) -> None:
    ann, eve = studio.person(2003), studio.person(2004)
    await eve.say("/start")
    offered = await plans(ann)
    stolen = await pay(eve, offered["Light · 150 ⭐ a month"])
    assert (stolen["paid"], stolen["error_message"]) == (False, eve.said("topup.unknown"))
    assert (await pay(ann, offered["Light · 150 ⭐ a month"]))["paid"]
    await ann.sees(ann.said("subscription.thanks", 180))
    for link in offered.values():
        refused = await pay(ann, link)
        assert (refused["paid"], refused["error_message"]) == (False, ann.said("subscription.one_at_a_time"))
    await ann.say("/subscribe")
    card = await ann.can_tap(ann.said("button.cancel_subscription"))
    assert links(card) == {}
    assert await charges(studio, ann) == [(150, False)]


async def test_the_discount_is_on_the_card_and_in_the_charge(studio: Stage) -> None:
    ann = studio.person(2005)
    await subscribed(ann, "Pro · 1200 ⭐ a month", 1800)
    await ann.write_card()
    await ann.tap("🤖")
    await ann.can_tap("Luma Photon · 5 ⭐")
    await ann.tap("Luma Photon · 5 ⭐")
    await ann.can_tap("Create · 4 ⭐")
    await ann.tap("Create · 4 ⭐")
    await ann.sees(ann.said("progress.succeeded", price=4))
    assert await get_balance(studio.db, ann.id) == Balance(STARS + 1800 - 4, 0)
    prices = "SELECT array_agg(price) FROM jobs WHERE user_id = $1 AND NOT errand"
    assert await studio.db.fetchval(prices, ann.id) == [4]


async def test_what_costs_more_than_the_button_says_is_not_ordered(studio: Stage) -> None:
    """The subscription ends between the card and the tap."""
    ann = studio.person(2006)
    await subscribed(ann, "Pro · 1200 ⭐ a month", 1800)
    await ann.write_card()
    await ann.tap("🤖")
    await ann.can_tap("Luma Photon · 5 ⭐")
    await ann.tap("Luma Photon · 5 ⭐")
    card = await ann.can_tap("Create · 4 ⭐")
    await studio.db.execute("UPDATE users SET discount_until = now() WHERE id = $1", ann.id)
    await ann.tap("Create · 4 ⭐")
    await ann.can_tap("Create · 5 ⭐", after=card["message_id"])
    assert ann.said("order.dearer") in await studio.telegram.toasts()
    assert await studio.db.fetchval("SELECT count(*) FROM jobs WHERE user_id = $1 AND NOT errand", ann.id) == 0
    await ann.tap("Create · 5 ⭐")
    await ann.sees(ann.said("progress.succeeded", price=5))


# ---------------------------------------------------------------- invitations


async def test_a_friends_first_payment_rewards_the_inviter_once(studio: Stage) -> None:
    ann, bob = studio.person(3001), studio.person(3002)
    await ann.say("/start")
    await ann.sees("Hello, Ann!")
    await ann.say("/invite")
    shown = await ann.sees("https://t.me/")
    assert ann.said("invite.nobody") in words(shown)
    (link,) = [word for word in words(shown).split() if word.startswith("https://t.me/")]
    username = (await studio.telegram.call("GET", f"/sim/chat/{ann.id}"))["bot"]["username"]
    assert link == f"https://t.me/{username}?start=ref_{ann.id:x}"
    assert parse_qs(urlsplit(links(shown)[ann.said("button.share")]).query)["url"] == [link]

    start = f"/start {link.partition('start=')[2]}"
    await ann.say(start)
    await ann.sees(ann.said("invite.own"))
    for _ in range(2):
        await bob.say(start)
    await bob.sees(ann.said("invite.taken"))
    await subscribed(bob, "Light · 150 ⭐ a month", 180)
    await renew(bob)
    await ann.sees(ann.said("invite.rewarded", 20))
    await bob.sees(bob.said("subscription.renewed", 180))
    await ann.say("/invite")
    await ann.sees(ann.said("invite.came", 1, rewarded=1))
    assert await get_balance(studio.db, ann.id) == Balance(STARS + 20, 0)
    assert len([m for m in await bob.from_bot() if bob.said("invite.taken") in words(m)]) == 1

    await bob.say("/invite")
    await bob.sees(f"ref_{bob.id:x}")
    await ann.say(f"/start ref_{bob.id:x}")
    await ann.say("/start ref_ffffffffffffffffffffffffffffff")
    await ann.say("/invite")
    await until(lambda: count_texts(ann, ann.said("invite.came", 1, rewarded=1), 2), what="all was answered")
    assert await studio.db.fetchval("SELECT invited_by FROM users WHERE id = $1", ann.id) is None


async def count_texts(person: Person, text: str, count: int) -> bool:
    return len([m for m in await person.from_bot() if text in words(m)]) == count


# ---------------------------------------------------------------- promo codes


async def test_a_promo_code_from_its_making_to_its_end(studio: Stage) -> None:
    boss, ann, bob = studio.person(ADMIN), studio.person(4001), studio.person(4002)
    await boss.say("/promo new spring 30 1 30d")
    await boss.sees("SPRING gives 30 Stars")
    await boss.say("/promo new spring 30 1 30d")
    await boss.sees(boss.said("promo.exists", code="SPRING"))
    await boss.say("/promo new spring")
    await boss.sees("/promo list shows the latest")

    await ann.say("/promo")
    await ann.sees(ann.said("promo.ask"))
    await ann.say("/promo Spring")
    assert "You have 130 Stars" in words(await ann.sees(ann.said("promo.redeemed", 30)))
    await ann.say("/promo spring")
    await ann.sees(ann.said("promo.yours_already"))
    await bob.say("/promo spring")
    await bob.sees(bob.said("promo.used_up"))
    await bob.say("/promo summer")
    await bob.sees(bob.said("promo.unknown"))
    await bob.say("/promo new mine 1000 1000 30d")
    await until(lambda: count_texts(bob, bob.said("promo.unknown"), 2), what="only admins make codes")
    assert await studio.db.fetchval("SELECT count(*) FROM promo_codes") == 1
    await boss.say("/promo list")
    await boss.sees("SPRING · 30 ⭐ · 1 of 1")
    assert await get_balance(studio.db, ann.id) == Balance(130, 0)


# ---------------------------------------------------------------- the statement


async def test_the_statement_in_words_sums_to_the_balance(studio: Stage) -> None:
    ann = studio.person(5001)
    await ann.quick_order()
    await ann.sees(ann.said("progress.succeeded", price=1))
    studio.replicate.knobs.outcome = "fail"
    await ann.quick_order("a ship")
    await ann.sees(ann.said("progress.failed"))
    studio.replicate.knobs.outcome = "succeed"
    await subscribed(ann, "Light · 150 ⭐ a month", 180)
    await ann.say("/balance")
    await ann.can_tap(ann.said("button.statement"))
    await ann.tap(ann.said("button.statement"))
    shown = words(await ann.sees(ann.said("statement.title")))
    moves = [line for line in shown.splitlines() if "→" in line]
    assert moves == [
        "+30 Bonus of Light → 279",
        "+150 Subscription Light → 249",
        "0 🎨 Text to image · not charged → 99",
        "−1 🎨 Text to image → 99",
        "+100 Welcome gift → 100",
    ]
    found = await statement(studio.db, ann.id, page=0, size=100)
    assert await get_balance(studio.db, ann.id) == Balance(sum(line.amount for line in found.lines), 0)


async def test_a_long_statement_is_turned_page_by_page(studio: Stage) -> None:
    ann = studio.person(5002)
    await ann.say("/balance")
    card = await ann.can_tap(ann.said("button.statement"))
    for number in range(1, 12):
        await give(studio, ann.id, number)
    await ann.tap(ann.said("button.statement"))
    first = await ann.can_tap("Older")
    assert first["message_id"] == card["message_id"]
    assert "1/2" in labels(first)
    assert "+11 From the team → 166" in words(first)
    await ann.tap("Older")
    second = await ann.can_tap("Newer")
    assert [line for line in words(second).splitlines() if "→" in line] == [
        "+1 From the team → 101",
        "+100 Welcome gift → 100",
    ]
    await ann.tap("Newer")
    await ann.can_tap("Older")


async def give(studio: Stage, user_id: int, stars: int) -> None:
    await ledger.give_bonus(studio.db, key=f"grant:{user_id}:{stars}", kind="grant", user_id=user_id, amount=stars)


# ---------------------------------------------------------------- terms and support


async def test_the_terms_say_whether_they_are_agreed_to_and_support_answers(studio: Stage) -> None:
    ann = studio.person(6001)
    await ann.say("/terms")
    await ann.sees(ann.said("terms.later"))
    await plans(ann)
    await ann.say("/terms")
    await ann.sees(ann.said("terms.accepted"))
    for command in ("/support", "/paysupport"):
        await ann.say(command)
    await until(lambda: count_texts(ann, ann.said("support.here"), 2), what="support answers")
    await ann.say("/subscribe")
    shown = await ann.sees(ann.said("subscription.about"))
    assert len(links(shown)) == 3, "asked once only"
