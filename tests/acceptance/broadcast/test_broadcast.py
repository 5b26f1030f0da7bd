"""A broadcast, on both plans: composed, sent to each at most once whatever dies, paused, resumed, taken back.

`BROADCAST_PEOPLE=2000 pytest -m long tests/acceptance/broadcast -k ten_kills`: the same with more users.
"""

import os
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any
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
FIRST = 20_001
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
    """What the stand knows, without a request for each of very many people."""
    return environment.telegram._server.state


async def add_users(environment: Environment, count: int) -> list[int]:
    """People who have spoken with the bot: rows, and their chats at the stand."""
    people = list(range(FIRST, FIRST + count))
    await environment.db.execute(_ADD_USERS, FIRST, FIRST + count - 1)
    world = sandbox_state(environment)
    for person in people:
        world.get_or_create_chat(BOT_ID, person).started = True
    return people


async def start(environment: Environment, admin: SandboxUser, *, paid: bool = False) -> UUID:
    """A broadcast of the admin's newest message to everybody else, as the card's last button starts it."""
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
    begun = await control.start(environment.db, broadcast, "en")
    assert begun is not None
    return broadcast.id


def received(environment: Environment, people: list[int]) -> Counter[int]:
    """How many messages each has."""
    chats = sandbox_state(environment).chats
    return Counter({person: len(list(chats[BOT_ID, person].newest_entries())) for person in people})


async def state_of(environment: Environment, broadcast: UUID) -> str:
    found = await get_broadcast(environment.db, broadcast)
    assert found is not None
    return found.state


async def is_done(environment: Environment, broadcast: UUID, *, seconds: float = 30.0) -> None:
    async def done() -> bool:
        return await state_of(environment, broadcast) == "done"

    await wait_until(done, seconds=seconds, what="the broadcast is done")


async def sent_at_least(environment: Environment, broadcast: UUID, count: int, *, seconds: float = 30.0) -> None:
    async def enough() -> bool:
        counts = await count_recipients(environment.db, broadcast)
        return counts.total - counts.waiting >= count

    await wait_until(enough, seconds=seconds, what=f"{count} have it")


async def active(environment: Environment) -> set[int]:
    return {row["id"] for row in await environment.db.fetch("SELECT id FROM users WHERE active")}


async def test_composed_in_the_chat_and_sent(environment: Environment, admin: SandboxUser, plan: PlanName) -> None:
    people = await add_users(environment, 20)
    await environment.db.execute("UPDATE users SET language = 'ru' WHERE id = $1", people[0])
    await environment.db.execute("UPDATE users SET wants_news = false WHERE id = $1", people[1])
    await environment.db.execute("UPDATE users SET blocked = true WHERE id = $1", people[2])
    hour = datetime.now(UTC).hour
    await set_quiet_hours(environment.db, people[3], (hour - 1) % 24, (hour + 2) % 24)
    await set_quiet_hours(environment.db, people[4], (hour + 2) % 24, (hour - 1) % 24)
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
        person: message_text((await environment.user(person).bot_messages() or [{}])[-1]) for person in people
    }
    assert texts[people[0]] == "Новости для вас"
    assert [texts[people[1]], texts[people[2]]] == ["", ""]
    assert {texts[person] for person in people[3:]} == {"News for you"}
    calls = [call["params"] for call in await environment.telegram.api_calls("copyMessage")]
    assert {int(call["chat_id"]) for call in calls if call.get("disable_notification")} == {people[3]}, (
        "quiet hours"
    )
    (job,) = await environment.wait_for_ended_jobs(1)
    assert (job["service"], job["plan"], job["state"]) == ("broadcast", plan, "succeeded")


async def test_edited_and_deleted_afterwards(environment: Environment, admin: SandboxUser, plan: PlanName) -> None:
    people = await add_users(environment, 10)
    await environment.start_bot(ready=plan == "A")
    broadcast = await start(environment, admin)
    await is_done(environment, broadcast)
    await admin.wait_for_button("Edit what was sent")
    sandbox_state(environment).chats[BOT_ID, people[0]].blocked = True
    await admin.tap("Edit what was sent")
    await admin.wait_for_text("Send me the new words")
    await admin.send_text("Better words")
    await admin.wait_for_text("Done: 9 of 10")
    await admin.wait_for_text("bot was blocked by the user: 1")
    assert {message_text((await environment.user(person).bot_messages())[-1]) for person in people[1:]} == {
        "Better words"
    }
    await admin.wait_for_button("Delete what was sent")
    await admin.tap("Delete what was sent")
    await admin.wait_for_text("Delete it from the chats")
    await admin.tap("Delete what was sent")
    await admin.wait_for_text("Deleting what was sent · done")
    assert not +received(environment, people)


async def test_an_album_stays_an_album(environment: Environment, admin: SandboxUser) -> None:
    await environment.inngest.close()
    people = await add_users(environment, 3)
    await environment.start_bot(ready=False)
    await admin.send_text("/broadcast")
    await admin.wait_for_button("✍️ for all")
    await admin.tap("✍️ for all")
    await admin.wait_for_text("Send me the message")
    for number in range(3):
        about: dict[str, Any] = {"user_id": str(admin.id), "media_group_id": "77"}
        caption = {"caption": "Three views"} if number == 0 else {}
        await environment.telegram.upload("document", f"{number}.txt", b"a file", **about, **caption)
    await admin.wait_for_text("album of 3")
    await admin.tap("Send to")
    await admin.wait_for_text("Send it to")
    await admin.tap("Send to")
    await admin.wait_for_text("Broadcast · done")
    for person in people:
        messages = await environment.user(person).bot_messages()
        assert len(messages) == 3
        entries = list(sandbox_state(environment).chats[BOT_ID, person].newest_entries())
        assert len({entry.message["media_group_id"] for entry in entries}) == 1


@pytest.mark.long
async def test_ten_kills(environment: Environment, admin: SandboxUser) -> None:
    """Everyone is sent it, nobody twice, and whoever is unknown is written down as such."""
    await environment.inngest.close()
    people = await add_users(environment, KILL_TEST_USERS)
    bot = await environment.start_bot(ready=False)
    broadcast = await start(environment, admin)
    for kill in range(10):
        await sent_at_least(environment, broadcast, (kill + 1) * KILL_TEST_USERS // 12, seconds=120)
        await bot.kill()
        await bot.start()
    await is_done(environment, broadcast, seconds=120)
    counts = await count_recipients(environment.db, broadcast)
    rows = await environment.db.fetch("SELECT user_id, state FROM broadcast_recipients")
    assert {row["state"] for row in rows} <= {"sent", "unknown"}
    assert counts.sent + counts.unknown == KILL_TEST_USERS
    messages = received(environment, people)
    assert max(messages.values()) == 1, "nobody twice"
    assert {row["user_id"] for row in rows if row["state"] == "sent"} <= set(+messages)
    assert counts.unknown <= 10 * 5, "a death leaves little unknown"
    print(f"{KILL_TEST_USERS} people, 10 kills: {counts.sent} sent, {counts.unknown} unknown")


async def test_killed_on_plan_a(environment: Environment, admin: SandboxUser) -> None:
    people = await add_users(environment, 60)
    bot = await environment.start_bot()
    broadcast = await start(environment, admin)
    await sent_at_least(environment, broadcast, 20)
    await bot.kill()
    await bot.start()
    await is_done(environment, broadcast)
    counts = await count_recipients(environment.db, broadcast)
    assert counts.sent + counts.unknown == 60
    assert max(received(environment, people).values()) == 1


async def test_stop_stops_within_two_seconds(environment: Environment, admin: SandboxUser, plan: PlanName) -> None:
    people = await add_users(environment, 300)
    await environment.start_bot(ready=plan == "A")
    broadcast = await start(environment, admin)
    await sent_at_least(environment, broadcast, 15)
    await admin.wait_for_button("Stop")
    tapped = time.monotonic()
    await admin.tap("Stop")

    async def stopped() -> bool:
        counts = await count_recipients(environment.db, broadcast)
        return (
            await state_of(environment, broadcast) == "stopped"
            and await _nothing_is_in_flight(environment)
            and counts.sent > 0
        )

    await wait_until(stopped, what="it is stopped")
    assert time.monotonic() - tapped < 2
    had = received(environment, people).total()
    await admin.wait_for_text("Broadcast · stopped")
    await environment.wait_for_ended_jobs(1)
    assert received(environment, people).total() == had < 300
    assert (await count_recipients(environment.db, broadcast)).sent == had


async def _nothing_is_in_flight(environment: Environment) -> bool:
    return not await environment.db.fetchval("SELECT count(*) FROM broadcast_recipients WHERE state = 'sending'")


async def test_paused_and_resumed_by_another_process(
    environment: Environment, admin: SandboxUser, plan: PlanName
) -> None:
    people = await add_users(environment, 60)
    first = await environment.start_bot(ready=plan == "A")
    broadcast = await start(environment, admin)
    await sent_at_least(environment, broadcast, 10)
    await admin.wait_for_button("Pause")
    await admin.tap("Pause")
    await admin.wait_for_text("Broadcast · paused")
    await environment.wait_for_ended_jobs(1)
    had = received(environment, people).total()
    assert 0 < had < 60
    await first.terminate()
    await environment.start_bot(ready=False)
    await admin.tap("Resume")
    await is_done(environment, broadcast)
    assert set(received(environment, people).values()) == {1}
    assert had < (await count_recipients(environment.db, broadcast)).sent == 60


@pytest.mark.parametrize("asked", [2, pytest.param(30, marks=pytest.mark.long)], ids="429 of {} s".format)
async def test_refusals_are_counted_right_and_nobody_is_deleted(
    environment: Environment, admin: SandboxUser, plan: PlanName, asked: int
) -> None:
    people = await add_users(environment, 40)
    await environment.start_bot(ready=plan == "A")
    known = await environment.db.fetchval("SELECT count(*) FROM users") + 1
    blocked, deactivated, gone, shaky, hopeless, lost, hurried = people[:7]
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
    await environment.telegram.add_fault(**copies, chat_id=hurried, code=429, retry_after=asked)
    begun = time.monotonic()
    broadcast = await start(environment, admin)
    await is_done(environment, broadcast, seconds=asked + 20)
    assert time.monotonic() - begun >= asked, "the 429 is obeyed by all"
    counts = await count_recipients(environment.db, broadcast)
    assert (counts.sent, counts.failed, counts.blocked, counts.unknown) == (35, 1, 3, 1)
    messages = received(environment, people)
    assert messages[lost] == 1, "it went out, and is not sent again"
    assert messages[shaky] == messages[hurried] == 1
    assert max(messages.values()) == 1
    assert set(people) - await active(environment) == {blocked, deactivated, gone}
    assert await environment.db.fetchval("SELECT count(*) FROM users") == known, "nobody is deleted"
    last = await admin.wait_for_text("Broadcast · done")
    assert "Sent: 35 of 40" in message_text(last)


async def test_one_at_a_time(environment: Environment, admin: SandboxUser) -> None:
    await environment.inngest.close()
    await add_users(environment, 200)
    await environment.start_bot(ready=False)
    await start(environment, admin)
    with pytest.raises(Exception, match=r"broadcast\.another_runs"):
        await start(environment, admin)
    assert await environment.db.fetchval("SELECT count(*) FROM broadcast_recipients") == 200, (
        "the second left nothing"
    )


async def test_telegrams_limit_is_kept_and_people_are_answered(
    environment: Environment, admin: SandboxUser
) -> None:
    await environment.inngest.close()
    people = await add_users(environment, 90)
    await environment.start_bot(ready=False)
    await environment.telegram.call("POST", "/sim/limits", {"per_second": 30, "per_chat": 1, "latency": 0.08})
    broadcast = await start(environment, admin)
    await sent_at_least(environment, broadcast, 5)
    ann = environment.user()
    began = time.monotonic()
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    assert time.monotonic() - began < 1.5
    await is_done(environment, broadcast)
    refused = [call for call in await environment.telegram.api_calls("copyMessage") if call["status"] == 429]
    assert refused == []
    assert set(received(environment, people).values()) == {1}
