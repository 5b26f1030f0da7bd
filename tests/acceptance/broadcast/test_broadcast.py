"""Broadcasts on both plans: composed, sent to each user at most once despite kills, paused, resumed, deleted.

`BROADCAST_PEOPLE=2000 pytest -m long tests/acceptance/broadcast -k ten_kills`: the same with more users.
"""

import os
import time
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from sandbox.telegram.state.server_state import ServerState
from services.broadcast import control
from services.broadcast.content import Content
from storage.messaging.broadcast_recipients import count_recipients
from storage.messaging.broadcasts import add_broadcast, get_broadcast, set_content, set_paid
from storage.users.preferences import set_quiet_hours
from tests.support.environments.environment import (
    BOT_TOKEN,
    Environment,
    PlanName,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)

ADMIN = 7
BOT_ID = int(BOT_TOKEN.partition(":")[0])
FIRST_USER_ID = 20_001
KILL_TEST_USERS = int(os.environ.get("BROADCAST_PEOPLE", "200"))

_ADD_USERS = """
INSERT INTO users (id, bot_name, language) SELECT id, 'main', 'en' FROM generate_series($1::bigint, $2) AS id"""


@pytest.fixture
async def admin(environment: Environment) -> SandboxUser:
    environment.settings |= {"ADMIN_IDS": str(ADMIN)}
    return environment.user(ADMIN, first_name="Ada")


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, environment: Environment) -> PlanName:
    name: PlanName = request.param
    if name == "B":
        await environment.inngest.close()
    return name


def sandbox_state(environment: Environment) -> ServerState:
    """The state of the sandbox's Telegram, without one request per user."""
    return environment.telegram.state


async def add_users(environment: Environment, count: int) -> list[int]:
    """Add users who have started the bot: their rows, and their chats in the sandbox. Returns their ids."""
    user_ids = list(range(FIRST_USER_ID, FIRST_USER_ID + count))
    await environment.db.execute(_ADD_USERS, FIRST_USER_ID, FIRST_USER_ID + count - 1)
    server_state = sandbox_state(environment)
    for user_id in user_ids:
        server_state.get_or_create_chat(BOT_ID, user_id).started = True
    return user_ids


async def start_broadcast(environment: Environment, admin: SandboxUser, *, paid: bool = False) -> UUID:
    """Start a broadcast of the admin's newest message to everyone else, as the card's last button does."""
    sent = await admin.send_text("/start")
    await wait_until(
        lambda: environment.db.fetchval("SELECT true FROM users WHERE id = $1", admin.id),
        what="the admin is known",
    )
    await environment.db.execute("UPDATE users SET wants_news = false WHERE id = $1", admin.id)
    broadcast = await add_broadcast(environment.db, uuid4(), admin.id, "main")
    content = Content(chat_id=admin.id, message_ids=(sent["message"]["message_id"],), kind="text", html="/start")
    await set_content(environment.db, broadcast.id, {"*": content.model_dump(mode="json")})
    await set_paid(environment.db, broadcast.id, paid)
    started = await control.start(environment.db, broadcast, "en")
    assert started is not None
    return broadcast.id


def count_received(environment: Environment, user_ids: list[int]) -> Counter[int]:
    """The number of messages in each user's chat."""
    chats = sandbox_state(environment).chats
    return Counter({user_id: len(list(chats[BOT_ID, user_id].newest_entries())) for user_id in user_ids})


async def broadcast_state(environment: Environment, broadcast: UUID) -> str:
    found = await get_broadcast(environment.db, broadcast)
    assert found is not None
    return found.state


async def wait_until_done(environment: Environment, broadcast: UUID, *, seconds: float = 30.0) -> None:
    async def done() -> bool:
        return await broadcast_state(environment, broadcast) == "done"

    await wait_until(done, seconds=seconds, what="the broadcast is done")


async def wait_until_sent(environment: Environment, broadcast: UUID, count: int, *, seconds: float = 30.0) -> None:
    async def enough() -> bool:
        counts = await count_recipients(environment.db, broadcast)
        return counts.total - counts.waiting >= count

    await wait_until(enough, seconds=seconds, what=f"{count} users have it")


async def active_user_ids(environment: Environment) -> set[int]:
    return {row["id"] for row in await environment.db.fetch("SELECT id FROM users WHERE active")}


async def test_broadcast_composed_in_the_chat_reaches_its_recipients(
    environment: Environment, admin: SandboxUser, plan: PlanName
) -> None:
    user_ids = await add_users(environment, 20)
    await environment.db.execute("UPDATE users SET language = 'ru' WHERE id = $1", user_ids[0])
    await environment.db.execute("UPDATE users SET wants_news = false WHERE id = $1", user_ids[1])
    await environment.db.execute("UPDATE users SET blocked = true WHERE id = $1", user_ids[2])
    hour = datetime.now(UTC).hour
    await set_quiet_hours(environment.db, user_ids[3], (hour - 1) % 24, (hour + 2) % 24)
    await set_quiet_hours(environment.db, user_ids[4], (hour + 2) % 24, (hour - 1) % 24)
    await environment.start_bot(ready=plan == "A")
    await admin.send_text("/broadcast")
    await admin.wait_for_button("✍️ for all")
    await admin.tap("✍️ for all")
    await admin.wait_for_text("Send me the message")
    await admin.send_text("News for you")
    await admin.wait_for_text("people will get it")
    await admin.tap("✍️ ru")
    await admin.wait_for_text("Send me the message, ru")
    await admin.send_text("Новости для вас")
    await admin.wait_for_button("🔗 for all")
    await admin.tap("🔗 for all")
    await admin.wait_for_text("Send me the buttons")
    await admin.send_text("Open | https://example.com/news")
    card = await admin.wait_for_text("1 button")
    await admin.tap("Preview")
    card = await admin.wait_for_button("Send to", after=card["message_id"])
    previews = [m for m in await admin.bot_messages() if message_text(m) == "News for you"]
    assert button_labels(previews[-1]) == ["Open"]
    await admin.tap("Send to", message_id=card["message_id"])
    await admin.wait_for_text("Send it to")
    await admin.tap("Send to")
    await admin.wait_for_text("Broadcast · done")
    texts = {
        user_id: message_text((await environment.user(user_id).bot_messages() or [{}])[-1]) for user_id in user_ids
    }
    assert texts[user_ids[0]] == "Новости для вас"
    assert [texts[user_ids[1]], texts[user_ids[2]]] == ["", ""]
    assert {texts[user_id] for user_id in user_ids[3:]} == {"News for you"}
    calls = [call["params"] for call in await environment.telegram.api_calls("copyMessage")]
    assert {int(call["chat_id"]) for call in calls if call.get("disable_notification")} == {user_ids[3]}, (
        "quiet hours"
    )
    (job,) = await environment.wait_for_ended_jobs(1)
    assert (job["service"], job["plan"], job["state"]) == ("broadcast", plan, "succeeded")


async def test_sent_broadcast_can_be_edited_and_deleted(
    environment: Environment, admin: SandboxUser, plan: PlanName
) -> None:
    user_ids = await add_users(environment, 10)
    await environment.start_bot(ready=plan == "A")
    broadcast = await start_broadcast(environment, admin)
    await wait_until_done(environment, broadcast)
    await admin.wait_for_button("Edit what was sent")
    sandbox_state(environment).chats[BOT_ID, user_ids[0]].blocked = True
    await admin.tap("Edit what was sent")
    await admin.wait_for_text("Send me the new words")
    await admin.send_text("Better words")
    await admin.wait_for_text("Done: 9 of 10")
    await admin.wait_for_text("bot was blocked by the user: 1")
    assert {message_text((await environment.user(user_id).bot_messages())[-1]) for user_id in user_ids[1:]} == {
        "Better words"
    }
    await admin.wait_for_button("Delete what was sent")
    await admin.tap("Delete what was sent")
    await admin.wait_for_text("Delete it from the chats")
    await admin.tap("Delete what was sent")
    await admin.wait_for_text("Deleting what was sent · done")
    assert not +count_received(environment, user_ids)


async def test_broadcast_of_an_album_arrives_as_an_album(environment: Environment, admin: SandboxUser) -> None:
    await environment.inngest.close()
    user_ids = await add_users(environment, 3)
    await environment.start_bot(ready=False)
    await admin.send_text("/broadcast")
    await admin.wait_for_button("✍️ for all")
    await admin.tap("✍️ for all")
    await admin.wait_for_text("Send me the message")
    for number in range(3):
        caption = {"caption": "Three views"} if number == 0 else {}
        await admin.upload("document", f"{number}.txt", b"a file", media_group_id="77", **caption)
    await admin.wait_for_text("album of 3")
    await admin.tap("Send to")
    await admin.wait_for_text("Send it to")
    await admin.tap("Send to")
    await admin.wait_for_text("Broadcast · done")
    for user_id in user_ids:
        messages = await environment.user(user_id).bot_messages()
        assert len(messages) == 3
        entries = list(sandbox_state(environment).chats[BOT_ID, user_id].newest_entries())
        assert len({entry.message["media_group_id"] for entry in entries}) == 1


@pytest.mark.long
async def test_broadcast_with_ten_kills_reaches_nobody_twice(environment: Environment, admin: SandboxUser) -> None:
    """Everyone gets it, nobody twice, and an unknown outcome is recorded as unknown."""
    await environment.inngest.close()
    user_ids = await add_users(environment, KILL_TEST_USERS)
    bot = await environment.start_bot(ready=False)
    broadcast = await start_broadcast(environment, admin)
    for kill in range(10):
        await wait_until_sent(environment, broadcast, (kill + 1) * KILL_TEST_USERS // 12, seconds=120)
        await bot.kill()
        await bot.start()
    await wait_until_done(environment, broadcast, seconds=120)
    counts = await count_recipients(environment.db, broadcast)
    rows = await environment.db.fetch("SELECT user_id, state FROM broadcast_recipients")
    assert {row["state"] for row in rows} <= {"sent", "unknown"}
    assert counts.sent + counts.unknown == KILL_TEST_USERS
    messages = count_received(environment, user_ids)
    assert max(messages.values()) == 1, "nobody twice"
    assert {row["user_id"] for row in rows if row["state"] == "sent"} <= set(+messages)
    assert counts.unknown <= 10 * 5, "a kill leaves few outcomes unknown"
    print(f"{KILL_TEST_USERS} users, 10 kills: {counts.sent} sent, {counts.unknown} unknown")


async def test_broadcast_with_a_kill_on_plan_a_reaches_nobody_twice(
    environment: Environment, admin: SandboxUser
) -> None:
    user_ids = await add_users(environment, 60)
    bot = await environment.start_bot()
    broadcast = await start_broadcast(environment, admin)
    await wait_until_sent(environment, broadcast, 20)
    await bot.kill()
    await bot.start()
    await wait_until_done(environment, broadcast)
    counts = await count_recipients(environment.db, broadcast)
    assert counts.sent + counts.unknown == 60
    assert max(count_received(environment, user_ids).values()) == 1


async def test_stop_button_stops_the_broadcast_within_two_seconds(
    environment: Environment, admin: SandboxUser, plan: PlanName
) -> None:
    user_ids = await add_users(environment, 300)
    await environment.start_bot(ready=plan == "A")
    broadcast = await start_broadcast(environment, admin)
    await wait_until_sent(environment, broadcast, 15)
    await admin.wait_for_button("Stop")
    tapped = time.monotonic()
    await admin.tap("Stop")

    async def is_stopped() -> bool:
        counts = await count_recipients(environment.db, broadcast)
        return (
            await broadcast_state(environment, broadcast) == "stopped"
            and await _nothing_is_in_flight(environment)
            and counts.sent > 0
        )

    await wait_until(is_stopped, what="it is stopped")
    assert time.monotonic() - tapped < 2
    count_before = count_received(environment, user_ids).total()
    await admin.wait_for_text("Broadcast · stopped")
    await environment.wait_for_ended_jobs(1)
    assert count_received(environment, user_ids).total() == count_before < 300
    assert (await count_recipients(environment.db, broadcast)).sent == count_before


async def _nothing_is_in_flight(environment: Environment) -> bool:
    return not await environment.db.fetchval("SELECT count(*) FROM broadcast_recipients WHERE state = 'sending'")


async def test_paused_broadcast_is_resumed_by_another_process(
    environment: Environment, admin: SandboxUser, plan: PlanName
) -> None:
    user_ids = await add_users(environment, 60)
    first = await environment.start_bot(ready=plan == "A")
    broadcast = await start_broadcast(environment, admin)
    await wait_until_sent(environment, broadcast, 10)
    await admin.wait_for_button("Pause")
    await admin.tap("Pause")
    await admin.wait_for_text("Broadcast · paused")
    await environment.wait_for_ended_jobs(1)
    count_before = count_received(environment, user_ids).total()
    assert 0 < count_before < 60
    await first.terminate()
    await environment.start_bot(ready=False)
    await admin.tap("Resume")
    await wait_until_done(environment, broadcast)
    assert set(count_received(environment, user_ids).values()) == {1}
    assert count_before < (await count_recipients(environment.db, broadcast)).sent == 60


@pytest.mark.parametrize("retry_after", [2, pytest.param(30, marks=pytest.mark.long)], ids="429 of {} s".format)
async def test_refused_messages_are_counted_and_no_user_is_deleted(
    environment: Environment, admin: SandboxUser, plan: PlanName, retry_after: int
) -> None:
    user_ids = await add_users(environment, 40)
    await environment.start_bot(ready=plan == "A")
    known = await environment.db.fetchval("SELECT count(*) FROM users") + 1
    blocked, deactivated, gone, shaky, hopeless, lost, hurried = user_ids[:7]
    sandbox_state(environment).chats[BOT_ID, blocked].blocked = True
    sandbox_state(environment).chats[BOT_ID, gone].started = False
    del sandbox_state(environment).users[gone]
    copies = {"method": "copyMessage"}
    await environment.telegram.add_fault(
        **copies, chat_id=deactivated, code=403, description="Forbidden: user is deactivated"
    )
    await environment.telegram.add_fault(**copies, chat_id=shaky, code=500, times=2)
    await environment.telegram.add_fault(**copies, chat_id=hopeless, code=500, times=10)
    await environment.telegram.add_fault(**copies, chat_id=lost, drop=True, after=True)
    await environment.telegram.add_fault(**copies, chat_id=hurried, code=429, retry_after=retry_after)
    started = time.monotonic()
    broadcast = await start_broadcast(environment, admin)
    await wait_until_done(environment, broadcast, seconds=retry_after + 20)
    assert time.monotonic() - started >= retry_after, "every send obeys the 429"
    counts = await count_recipients(environment.db, broadcast)
    assert (counts.sent, counts.failed, counts.blocked, counts.unknown) == (35, 1, 3, 1)
    messages = count_received(environment, user_ids)
    assert messages[lost] == 1, "it was sent, and is not sent again"
    assert messages[shaky] == messages[hurried] == 1
    assert max(messages.values()) == 1
    assert set(user_ids) - await active_user_ids(environment) == {blocked, deactivated, gone}
    assert await environment.db.fetchval("SELECT count(*) FROM users") == known, "nobody is deleted"
    last = await admin.wait_for_text("Broadcast · done")
    assert "Sent: 35 of 40" in message_text(last)


async def test_second_broadcast_while_one_runs_is_refused(environment: Environment, admin: SandboxUser) -> None:
    await environment.inngest.close()
    await add_users(environment, 200)
    await environment.start_bot(ready=False)
    await start_broadcast(environment, admin)
    with pytest.raises(Exception, match=r"broadcast\.another_runs"):
        await start_broadcast(environment, admin)
    assert await environment.db.fetchval("SELECT count(*) FROM broadcast_recipients") == 200, (
        "the second one added no recipients"
    )


async def test_broadcast_keeps_telegrams_limit_while_users_are_answered(
    environment: Environment, admin: SandboxUser
) -> None:
    await environment.inngest.close()
    user_ids = await add_users(environment, 90)
    await environment.start_bot(ready=False)
    await environment.telegram.api.post("limits", per_second=30, per_chat=1, latency=0.08)
    broadcast = await start_broadcast(environment, admin)
    await wait_until_sent(environment, broadcast, 5)
    ann = environment.user()
    started_at = time.monotonic()
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    assert time.monotonic() - started_at < 1.5
    await wait_until_done(environment, broadcast)
    refused = [call for call in await environment.telegram.api_calls("copyMessage") if call["status"] == 429]
    assert refused == []
    assert set(count_received(environment, user_ids).values()) == {1}
