"""What admins do for users in the chat: bonuses, the user card, blocks, statistics.

One bot serves all these tests; each test has its own users.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers.admin.refunds import RefundCallback
from handlers.admin.user_card import UserCallback
from services.billing.bonuses import give_bonus_credits
from storage.money.ledger import Balance, get_balance
from storage.money.payments import payment_digest
from tests.acceptance.billing.admin_chat import (
    ADMIN,
    buy_pack,
    create_user,
    open_admin_environment,
    send_as_admin,
)
from tests.support.environments.environment import (
    Environment,
    SandboxUser,
    chat_text,
    wait_until,
)
from tests.support.environments.factory import EnvironmentFactory

_ids = itertools.count(2001)


@pytest.fixture(scope="module")
async def environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    async with open_admin_environment(environments) as environment:
        yield environment


@pytest.fixture
async def ann(environment: Environment) -> AsyncIterator[SandboxUser]:
    """A new user, who has accepted the terms."""
    yield await create_user(environment, next(_ids))
    await environment.telegram.api.clear_faults()


async def test_repeated_grant_is_credited_once_and_the_user_is_notified(environment: Environment) -> None:
    ann = environment.user(next(_ids), language_code="ru")
    await ann.send_text("/start")
    await ann.wait_for_button(ann.text("button.balance"))
    admin = environment.user(ADMIN)
    sent = await admin.send_text(f"/grant {ann.id} 22 за терпение & доброту")
    await admin.wait_for_text(f"22 Stars are given to {ann.id}, who is told")
    assert "за терпение & доброту" in (await ann.wait_for_text("Вам подарены 22 звезды"))["text"]
    await environment.telegram.api.post("repeat", update_id=sent["update_id"], times=3)
    admin, after = await send_as_admin(environment, f"/user {ann.id}")
    card = await admin.wait_for_text("Credits: 22 ⭐", after=after)
    assert f"{ADMIN}: +22 ⭐ за терпение & доброту" in card["text"]

    fields: dict[str, Any] = {"user_id": ann.id, "credits": 3, "admin_id": ADMIN, "reason": ""}
    results = await asyncio.gather(
        *(give_bonus_credits(environment.db, key=f"one-update-{ann.id}", **fields) for _ in range(5))
    )
    assert sorted(results) == [False] * 4 + [True]
    assert await get_balance(environment.db, ann.id) == Balance(25, 0)


async def test_grant_with_an_invalid_amount_or_unknown_user_is_refused(
    environment: Environment, ann: SandboxUser
) -> None:
    for arguments in ("", f"{ann.id}", f"{ann.id} -5", f"{ann.id} 0", f"{ann.id} 1.5", f"{ann.id} 100001", "5 ٣"):
        admin, after = await send_as_admin(environment, f"/grant {arguments}")
        await admin.wait_for_text("/grant 1001 50", after=after)
    for unknown in ("999999999", "@nobody_has_this_name", "9" * 30, "somebody"):
        admin, after = await send_as_admin(environment, f"/grant {unknown} 5")
        await admin.wait_for_text("Nobody here has this id", after=after)
    assert await get_balance(environment.db, ann.id) == Balance(0, 0)


async def test_user_card_by_name_shows_notes_orders_and_payments(
    environment: Environment, ann: SandboxUser
) -> None:
    charge = await buy_pack(environment, ann)
    await ann.order_by_prompt()
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    await environment.db.execute("UPDATE users SET username = $2 WHERE id = $1", ann.id, f"Ann_{ann.id}")
    admin, after = await send_as_admin(environment, f"/user @ann_{ann.id} note likes  <owls>\nand lighthouses")
    card = await admin.wait_for_text("Last orders", after=after)
    for expected in (
        f"Ann @Ann_{ann.id} · {ann.id}", "🟢 active · en", "Credits: 49 ⭐, held 0 ⭐, owed 0 ⭐",
        "Orders: 1, of them made 1 · paid 50 ⭐, of them refunded 0 ⭐", "✅", "Text to image · 1 ⭐",
        f"{ADMIN}: likes <owls> and lighthouses",
    ):  # fmt: skip
        assert expected in card["text"], expected
    await admin.tap("↩️ 50 ⭐", message_id=card["message_id"])
    await admin.wait_for_text(charge, after=after)
    for arguments in ("", f"{ann.id} something else", f"{ann.id} note"):
        admin, after = await send_as_admin(environment, f"/user {arguments}")
        await admin.wait_for_text("/user 1001", after=after)


async def test_blocked_user_is_notified_once_and_reaches_only_support(
    environment: Environment, ann: SandboxUser
) -> None:
    """What they ordered before is still delivered."""
    await buy_pack(environment, ann)
    await ann.wait_for_text("Thank you!")
    environment.replicate.behaviour.seconds = 3600
    await ann.order_by_prompt()
    await wait_until(lambda: _is_generating(environment, ann), what="the provider is generating")
    environment.replicate.behaviour.seconds = 0.0

    admin, after = await send_as_admin(environment, f"/user {ann.id}")
    await admin.wait_for_button("Block", after=after)
    await admin.tap(chat_text("user.button.block"))
    await admin.wait_for_text("⛔️ blocked by an admin", after=after)

    first_id = (await ann.send_text("hello"))["message"]["message_id"]
    blocked = chat_text("blocked.told")
    await ann.wait_for_text(blocked)
    for text in ("/menu", "a lighthouse", "/support"):
        await ann.send_text(text)
    await ann.wait_for_text(chat_text("support.here"), after=first_id)
    await ann.send_text("/paysupport")
    tap = await ann.tap("Menu")
    await ann.send_text("/terms")
    await ann.wait_for_text("The terms in short", after=first_id)
    texts = [m["text"] for m in await ann.bot_messages() if m["message_id"] > first_id]
    assert texts.count(blocked) == 1
    assert len(texts) == 4, texts
    answers = [call["params"] for call in await environment.telegram.api_calls("answerCallbackQuery")]
    toasts = [each.get("text", "") for each in answers if each["callback_query_id"] in tap["callback_query_ids"]]
    assert toasts == [""], "a tap's spinner ends, and nothing is shown twice"

    for prediction in environment.replicate.predictions:
        prediction.seconds = 0.0
    await ann.wait_for_text(ann.text("progress.succeeded", price=1))
    assert len(await ann.photo_messages()) == 1

    await admin.tap(chat_text("user.button.unblock"))
    await admin.wait_for_text("🟢 active", after=after)
    sent = await ann.send_text("/menu")
    await ann.wait_for_button("Text to image", after=sent["message"]["message_id"])


async def _is_generating(environment: Environment, user: SandboxUser) -> bool:
    query = "SELECT count(*) > 0 FROM jobs WHERE user_id = $1 AND state = 'running' AND NOT internal"
    return bool(environment.replicate.predictions) and bool(await environment.db.fetchval(query, user.id))


async def test_block_of_an_admin_is_refused(environment: Environment) -> None:
    admin, after = await send_as_admin(environment, f"/user {ADMIN}")
    await admin.wait_for_button("Block", after=after)
    await admin.tap(chat_text("user.button.block"))
    await wait_until(lambda: _toast_shown(environment, chat_text("user.is_admin")), what="the block is refused")
    assert not await environment.db.fetchval("SELECT blocked FROM users WHERE id = $1", ADMIN)


async def _toast_shown(environment: Environment, toast: str) -> bool:
    return toast in await environment.telegram.toasts()


async def test_admin_commands_from_a_non_admin_are_unknown(environment: Environment, ann: SandboxUser) -> None:
    charge = await buy_pack(environment, ann)
    for command in (
        "/no_such_command", "/refund", f"/refund {charge}", "/reconcile", f"/grant {ann.id} 5",
        f"/user {ADMIN}", "/stats",
    ):  # fmt: skip
        sent = await ann.send_text(command)
        await ann.wait_for_text(ann.text("other.command"), after=sent["message"]["message_id"])
    last = (await ann.bot_messages())[-1]["message_id"]
    for callback in (
        RefundCallback(action="sure", user=ann.id, mark=payment_digest(charge)),
        UserCallback(action="block", user=ADMIN),
    ):
        before = len(await environment.telegram.toasts())
        await ann.tap("", data=callback.pack(), message_id=last)

        async def refused(before: int = before) -> bool:
            return ann.text("stale.button") in (await environment.telegram.toasts())[before:]

        await wait_until(refused, what="the button is answered like any stale one")
    assert await environment.db.fetchval("SELECT count(*) FROM refunds WHERE charge_id = $1", charge) == 0
    assert "/refund" not in str(await environment.telegram.api_calls("setMyCommands"))


async def test_stats_are_shown_as_text_chart_and_csv(environment: Environment, ann: SandboxUser) -> None:
    await buy_pack(environment, ann)
    admin, after = await send_as_admin(environment, "/stats")
    await admin.wait_for_text("📊 Today", after=after)
    await admin.tap("7 days")
    shown = await admin.wait_for_text("📊 7 days", after=after)
    assert "A Star counts as $0.013" in shown["text"]
    await admin.tap("📈 Picture")
    chart = await wait_for_file(admin, "photo", after)
    assert (chart["width"], chart["height"]) == (1200, 1000)
    await admin.tap("📄 CSV")
    table = await wait_for_file(admin, "document", after)
    assert table["file_name"].startswith("diptych-week-")


async def wait_for_file(user: SandboxUser, kind: str, after: int) -> Any:
    async def look() -> Any:
        newer = [m for m in await user.bot_messages() if m["message_id"] > after]
        return next((each for message in newer for each in message["media"] if each["kind"] == kind), None)

    return await wait_until(look, what=f"a {kind} arrives")
