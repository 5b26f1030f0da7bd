"""What users do about money besides topping up: subscribe, invite, redeem a code, read the statement."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.telegram.errors import ControlApiError
from services.ledger import credits as ledger
from storage.money.ledger import Balance, check_ledger, get_balance
from storage.money.subscriptions import current_subscription
from storage.reports.account_statement import get_statement
from tests.support.environments.environment import (
    Environment,
    Message,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.environments.factory import EnvironmentFactory

ADMIN = 7
WELCOME_CREDITS = 100


@pytest.fixture(scope="module")
async def environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    """One bot for all of this module; each test has its own users, who start with 100 credits."""
    async with environments.open(Environment) as environment:
        await environment.inngest.close()
        await environment.start_bot(ready=False, ADMIN_IDS=str(ADMIN))
        yield environment


def links(message: Message) -> dict[str, str]:
    """The target of each link button, by its label."""
    return {b["text"]: b["url"] for row in message["keyboard"] for b in row if "url" in b}


async def pay(user: SandboxUser, link: str) -> dict[str, Any]:
    answer: dict[str, Any] = await user.telegram.api.post("pay", user_id=user.id, link=link)
    return answer


async def open_tiers(user: SandboxUser) -> dict[str, str]:
    """Accept the terms. Returns the subscription link of each tier."""
    await user.send_text("/subscribe")
    await user.wait_for_button(user.text("button.agree"))
    await user.tap(user.text("button.agree"))

    async def look() -> dict[str, str]:
        return links((await user.bot_messages())[-1])

    found: dict[str, str] = await wait_until(look, what="the tiers have links")
    return found


async def subscribe(user: SandboxUser, tier: str, thanks: int) -> dict[str, str]:
    tier_links = await open_tiers(user)
    assert (await pay(user, tier_links[tier]))["paid"]
    await user.wait_for_text(user.text("subscription.thanks", thanks))
    return tier_links


async def renew(user: SandboxUser) -> dict[str, Any]:
    answer: dict[str, Any] = await user.telegram.api.post("subscription/renew", user_id=user.id)
    return answer


async def recorded_payments(environment: Environment, user: SandboxUser) -> list[tuple[int, bool]]:
    rows = await environment.db.fetch(
        "SELECT stars, recurring FROM payments WHERE user_id = $1 ORDER BY created_at", user.id
    )
    return [(row["stars"], row["recurring"]) for row in rows]


# ---------------------------------------------------------------- subscriptions


async def test_subscription_month_reported_repeatedly_is_credited_once(
    environment: Environment,
) -> None:
    ann = environment.user(2001)
    await subscribe(ann, "Light · 150 ⭐ a month", 180)
    assert await get_balance(environment.db, ann.id) == Balance(WELCOME_CREDITS + 180, 0)
    first = await current_subscription(environment.db, ann.id)
    assert first is not None
    month = await renew(ann)
    await ann.wait_for_text(ann.text("subscription.renewed", 180))
    await environment.telegram.api.post("update", update={"message": month["message"]}, times=5)
    await ann.send_text("/balance")
    await ann.wait_for_text("You have 460 Stars")
    assert await recorded_payments(environment, ann) == [(150, False), (150, True)]
    second = await current_subscription(environment.db, ann.id)
    assert second is not None
    assert (second.id, second.charge_id) == (first.id, first.charge_id)
    assert (second.expires_at - first.expires_at).days == 30
    assert len([m for m in await ann.bot_messages() if "Your subscription goes on" in message_text(m)]) == 1
    assert (await check_ledger(environment.db)).is_consistent


async def test_subscription_cancel_and_resume_reach_telegram_and_a_refusal_is_shown(
    environment: Environment,
) -> None:
    ann = environment.user(2002)
    await subscribe(ann, "Studio · 450 ⭐ a month", 600)
    await ann.send_text("/subscription")
    card = await ann.wait_for_button(ann.text("button.cancel_subscription"))
    assert "Telegram then takes 450 Stars by itself" in message_text(card)
    assert ann.text("subscription.invoice", 600, discount=10) in message_text(card)

    await environment.telegram.add_fault(method="editUserStarSubscription", code=400)
    await ann.tap(ann.text("button.cancel_subscription"))
    await wait_until(
        lambda: toast_shown(environment, ann.text("subscription.refused")), what="the refusal is shown"
    )
    assert await cancelled(environment, ann) is False

    await ann.tap(ann.text("button.cancel_subscription"))
    card = await ann.wait_for_button(ann.text("button.resume_subscription"))
    assert "It is cancelled and ends on" in message_text(card)
    assert await cancelled(environment, ann) is True
    with pytest.raises(ControlApiError, match="cancelled"):
        await renew(ann)

    await ann.tap(ann.text("button.resume_subscription"))
    await ann.wait_for_button(ann.text("button.cancel_subscription"))
    assert await cancelled(environment, ann) is False
    assert (await renew(ann))["paid"]
    await ann.wait_for_text(ann.text("subscription.renewed", 600))
    calls = [
        call["params"]["is_canceled"] for call in await environment.telegram.api_calls("editUserStarSubscription")
    ]
    assert [json.loads(str(each).lower()) for each in calls] == [True, True, False]


async def cancelled(environment: Environment, user: SandboxUser) -> bool:
    running = await current_subscription(environment.db, user.id)
    assert running is not None
    return running.cancelled


async def toast_shown(environment: Environment, text: str) -> bool:
    return text in await environment.telegram.toasts()


async def test_second_tier_is_refused_even_with_an_old_link(environment: Environment) -> None:
    ann, eve = environment.user(2003), environment.user(2004)
    await eve.send_text("/start")
    tier_links = await open_tiers(ann)
    foreign_payment = await pay(eve, tier_links["Light · 150 ⭐ a month"])
    assert (foreign_payment["paid"], foreign_payment["error_message"]) == (False, eve.text("topup.unknown"))
    assert (await pay(ann, tier_links["Light · 150 ⭐ a month"]))["paid"]
    await ann.wait_for_text(ann.text("subscription.thanks", 180))
    for link in tier_links.values():
        refused = await pay(ann, link)
        assert (refused["paid"], refused["error_message"]) == (False, ann.text("subscription.one_at_a_time"))
    await ann.send_text("/subscribe")
    card = await ann.wait_for_button(ann.text("button.cancel_subscription"))
    assert links(card) == {}
    assert await recorded_payments(environment, ann) == [(150, False)]


async def test_subscription_discount_is_on_the_card_and_in_the_charge(environment: Environment) -> None:
    ann = environment.user(2005)
    await subscribe(ann, "Pro · 1200 ⭐ a month", 1800)
    await ann.open_card_by_prompt()
    await ann.tap("🤖")
    await ann.wait_for_button("Luma Photon · 5 ⭐")
    await ann.tap("Luma Photon · 5 ⭐")
    await ann.wait_for_button("Create · 4 ⭐")
    await ann.tap("Create · 4 ⭐")
    await ann.wait_for_text(ann.text("progress.succeeded", price=4))
    assert await get_balance(environment.db, ann.id) == Balance(WELCOME_CREDITS + 1800 - 4, 0)
    prices = "SELECT array_agg(price) FROM jobs WHERE user_id = $1 AND NOT internal"
    assert await environment.db.fetchval(prices, ann.id) == [4]


async def test_order_that_costs_more_than_its_button_says_is_not_placed(environment: Environment) -> None:
    """The subscription ends between the card and the tap."""
    ann = environment.user(2006)
    await subscribe(ann, "Pro · 1200 ⭐ a month", 1800)
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


async def test_friends_first_payment_rewards_the_inviter_once(environment: Environment) -> None:
    ann, bob = environment.user(3001), environment.user(3002)
    await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")
    await ann.send_text("/invite")
    shown = await ann.wait_for_text("https://t.me/")
    assert ann.text("invite.nobody") in message_text(shown)
    (link,) = [word for word in message_text(shown).split() if word.startswith("https://t.me/")]
    username = (await environment.telegram.api.get(f"chat/{ann.id}"))["bot"]["username"]
    assert link == f"https://t.me/{username}?start=ref_{ann.id:x}"
    assert parse_qs(urlsplit(links(shown)[ann.text("button.share")]).query)["url"] == [link]

    start = f"/start {link.partition('start=')[2]}"
    await ann.send_text(start)
    await ann.wait_for_text(ann.text("invite.own"))
    for _ in range(2):
        await bob.send_text(start)
    await bob.wait_for_text(ann.text("invite.taken"))
    await subscribe(bob, "Light · 150 ⭐ a month", 180)
    await renew(bob)
    await ann.wait_for_text(ann.text("invite.rewarded", 20))
    await bob.wait_for_text(bob.text("subscription.renewed", 180))
    await ann.send_text("/invite")
    await ann.wait_for_text(ann.text("invite.came", 1, rewarded=1))
    assert await get_balance(environment.db, ann.id) == Balance(WELCOME_CREDITS + 20, 0)
    assert len([m for m in await bob.bot_messages() if bob.text("invite.taken") in message_text(m)]) == 1

    await bob.send_text("/invite")
    await bob.wait_for_text(f"ref_{bob.id:x}")
    await ann.send_text(f"/start ref_{bob.id:x}")
    await ann.send_text("/start ref_ffffffffffffffffffffffffffffff")
    await ann.send_text("/invite")
    await wait_until(
        lambda: count_texts(ann, ann.text("invite.came", 1, rewarded=1), 2), what="everything was answered"
    )
    assert await environment.db.fetchval("SELECT invited_by FROM users WHERE id = $1", ann.id) is None


async def count_texts(user: SandboxUser, text: str, count: int) -> bool:
    return len([m for m in await user.bot_messages() if text in message_text(m)]) == count


# ---------------------------------------------------------------- promo codes


async def test_promo_code_is_created_redeemed_once_and_used_up(environment: Environment) -> None:
    admin, ann, bob = environment.user(ADMIN), environment.user(4001), environment.user(4002)
    await admin.send_text("/promo new spring 30 1 30d")
    await admin.wait_for_text("SPRING gives 30 Stars")
    await admin.send_text("/promo new spring 30 1 30d")
    await admin.wait_for_text(admin.text("promo.exists", code="SPRING"))
    await admin.send_text("/promo new spring")
    await admin.wait_for_text("/promo list shows the latest")

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
    await wait_until(lambda: count_texts(bob, bob.text("promo.unknown"), 2), what="only admins create codes")
    assert await environment.db.fetchval("SELECT count(*) FROM promo_codes") == 1
    await admin.send_text("/promo list")
    await admin.wait_for_text("SPRING · 30 ⭐ · 1 of 1")
    assert await get_balance(environment.db, ann.id) == Balance(130, 0)


# ---------------------------------------------------------------- the statement


async def test_statement_lines_sum_to_the_balance(environment: Environment) -> None:
    ann = environment.user(5001)
    await ann.order_by_prompt()
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    environment.replicate.behaviour.outcome = "fail"
    await ann.order_by_prompt("a ship")
    await ann.wait_for_text(ann.text("progress.failed"))
    environment.replicate.behaviour.outcome = "succeed"
    await subscribe(ann, "Light · 150 ⭐ a month", 180)
    await ann.send_text("/balance")
    await ann.wait_for_button(ann.text("button.statement"))
    await ann.tap(ann.text("button.statement"))
    shown = message_text(await ann.wait_for_text(ann.text("statement.title")))
    lines = [line for line in shown.splitlines() if "→" in line]
    assert lines == [
        "+30 Bonus of Light → 279",
        "+150 Subscription Light → 249",
        "0 🎨 Text to image · not charged → 99",
        "−1 🎨 Text to image → 99",
        "+100 Welcome gift → 100",
    ]
    found = await get_statement(environment.db, ann.id, page=0, size=100)
    assert await get_balance(environment.db, ann.id) == Balance(sum(line.amount for line in found.lines), 0)


async def test_long_statement_is_shown_page_by_page(environment: Environment) -> None:
    ann = environment.user(5002)
    await ann.send_text("/balance")
    card = await ann.wait_for_button(ann.text("button.statement"))
    for number in range(1, 12):
        await give_bonus(environment, ann.id, number)
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


async def give_bonus(environment: Environment, user_id: int, credits: int) -> None:
    await ledger.give_bonus(
        environment.db, key=f"grant:{user_id}:{credits}", kind="grant", user_id=user_id, amount=credits
    )


# ---------------------------------------------------------------- terms and support


async def test_terms_show_whether_they_are_accepted_and_support_answers(environment: Environment) -> None:
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
    assert len(links(shown)) == 3, "the terms are shown only once"
