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

from sandbox.telegram.state.server_state import World
from services.broadcast import control
from services.broadcast.content import Content
from storage.messaging.broadcast_recipients import count_recipients
from storage.messaging.broadcasts import add_broadcast, get_broadcast, set_content, set_paid
from storage.users.preferences import set_quiet_hours
from tests.support.environments.environment import BOT_TOKEN, Person, PlanName, Stage, labels, until, words

ADMIN = 7
BOT_ID = int(BOT_TOKEN.partition(":")[0])
FIRST = 20_001
KILLED_PEOPLE = int(os.environ.get("BROADCAST_PEOPLE", "200"))

_ADD_PEOPLE = """
INSERT INTO users (id, bot_name, language) SELECT id, 'main', 'en' FROM generate_series($1::bigint, $2) AS id"""


@pytest.fixture
async def admin(stage: Stage) -> Person:
    stage.settings |= {"ADMIN_IDS": str(ADMIN)}
    return stage.person(ADMIN, first_name="Ada")


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, stage: Stage) -> PlanName:
    name: PlanName = request.param
    if name == "B":
        await stage.inngest.close()
    return name


def world_of(stage: Stage) -> World:
    """What the stand knows, without a request for each of very many people."""
    return stage.telegram._stand.world


async def add_people(stage: Stage, count: int) -> list[int]:
    """People who have spoken with the bot: rows, and their chats at the stand."""
    people = list(range(FIRST, FIRST + count))
    await stage.db.execute(_ADD_PEOPLE, FIRST, FIRST + count - 1)
    world = world_of(stage)
    for person in people:
        world.chat(BOT_ID, person).started = True
    return people


async def start(stage: Stage, admin: Person, *, paid: bool = False) -> UUID:
    """A broadcast of the admin's newest message to everybody else, as the card's last button starts it."""
    sent = await admin.say("/start")
    await until(
        lambda: stage.db.fetchval("SELECT true FROM users WHERE id = $1", admin.id), what="the admin is known"
    )
    await stage.db.execute("UPDATE users SET news = false WHERE id = $1", admin.id)
    broadcast = await add_broadcast(stage.db, uuid4(), admin.id, "main")
    content = Content(chat_id=admin.id, message_ids=(sent["message"]["message_id"],), kind="text", html="/start")
    await set_content(stage.db, broadcast.id, {"*": content.model_dump(mode="json")})
    await set_paid(stage.db, broadcast.id, paid)
    begun = await control.start(stage.db, broadcast, "en")
    assert begun is not None
    return broadcast.id


def got(stage: Stage, people: list[int]) -> Counter[int]:
    """How many messages each has."""
    chats = world_of(stage).chats
    return Counter({person: len(list(chats[BOT_ID, person].newest())) for person in people})


async def state_of(stage: Stage, broadcast: UUID) -> str:
    found = await get_broadcast(stage.db, broadcast)
    assert found is not None
    return found.state


async def is_done(stage: Stage, broadcast: UUID, *, seconds: float = 30.0) -> None:
    async def done() -> bool:
        return await state_of(stage, broadcast) == "done"

    await until(done, seconds=seconds, what="the broadcast is done")


async def sent_at_least(stage: Stage, broadcast: UUID, count: int, *, seconds: float = 30.0) -> None:
    async def enough() -> bool:
        counts = await count_recipients(stage.db, broadcast)
        return counts.total - counts.waiting >= count

    await until(enough, seconds=seconds, what=f"{count} have it")


async def active(stage: Stage) -> set[int]:
    return {row["id"] for row in await stage.db.fetch("SELECT id FROM users WHERE active")}


async def test_composed_in_the_chat_and_sent(stage: Stage, admin: Person, plan: PlanName) -> None:
    people = await add_people(stage, 20)
    await stage.db.execute("UPDATE users SET language = 'ru' WHERE id = $1", people[0])
    await stage.db.execute("UPDATE users SET news = false WHERE id = $1", people[1])
    await stage.db.execute("UPDATE users SET blocked = true WHERE id = $1", people[2])
    hour = datetime.now(UTC).hour
    await set_quiet_hours(stage.db, people[3], (hour - 1) % 24, (hour + 2) % 24)
    await set_quiet_hours(stage.db, people[4], (hour + 2) % 24, (hour - 1) % 24)
    await stage.start_bot(ready=plan == "A")
    await admin.say("/broadcast")
    await admin.can_tap("✍️ for all")
    await admin.tap("✍️ for all")
    await admin.sees("Send me the message")
    await admin.say("News for you")
    await admin.sees("people will get it")
    await admin.tap("✍️ ru")
    await admin.sees("Send me the message, ru")
    await admin.say("Новости для вас")
    await admin.can_tap("🔗 for all")
    await admin.tap("🔗 for all")
    await admin.sees("Send me the buttons")
    await admin.say("Open | https://example.com/news")
    card = await admin.sees("1 button")
    await admin.tap("Preview")
    card = await admin.can_tap("Send to", after=card["message_id"])
    previews = [m for m in await admin.from_bot() if words(m) == "News for you"]
    assert labels(previews[-1]) == ["Open"]
    await admin.tap("Send to", message_id=card["message_id"])
    await admin.sees("Send it to")
    await admin.tap("Send to")
    await admin.sees("Broadcast · done")
    texts = {person: words((await stage.person(person).from_bot() or [{}])[-1]) for person in people}
    assert texts[people[0]] == "Новости для вас"
    assert [texts[people[1]], texts[people[2]]] == ["", ""]
    assert {texts[person] for person in people[3:]} == {"News for you"}
    calls = [call["params"] for call in await stage.telegram.calls("copyMessage")]
    assert {int(call["chat_id"]) for call in calls if call.get("disable_notification")} == {people[3]}, (
        "quiet hours"
    )
    (job,) = await stage.ended_jobs(1)
    assert (job["service"], job["plan"], job["state"]) == ("broadcast", plan, "succeeded")


async def test_edited_and_deleted_afterwards(stage: Stage, admin: Person, plan: PlanName) -> None:
    people = await add_people(stage, 10)
    await stage.start_bot(ready=plan == "A")
    broadcast = await start(stage, admin)
    await is_done(stage, broadcast)
    await admin.can_tap("Edit what was sent")
    world_of(stage).chats[BOT_ID, people[0]].blocked = True
    await admin.tap("Edit what was sent")
    await admin.sees("Send me the new words")
    await admin.say("Better words")
    await admin.sees("Done: 9 of 10")
    await admin.sees("bot was blocked by the user: 1")
    assert {words((await stage.person(person).from_bot())[-1]) for person in people[1:]} == {"Better words"}
    await admin.can_tap("Delete what was sent")
    await admin.tap("Delete what was sent")
    await admin.sees("Delete it from the chats")
    await admin.tap("Delete what was sent")
    await admin.sees("Deleting what was sent · done")
    assert not +got(stage, people)


async def test_an_album_stays_an_album(stage: Stage, admin: Person) -> None:
    await stage.inngest.close()
    people = await add_people(stage, 3)
    await stage.start_bot(ready=False)
    await admin.say("/broadcast")
    await admin.can_tap("✍️ for all")
    await admin.tap("✍️ for all")
    await admin.sees("Send me the message")
    for number in range(3):
        about: dict[str, Any] = {"user_id": str(admin.id), "media_group_id": "77"}
        caption = {"caption": "Three views"} if number == 0 else {}
        await stage.telegram.upload("document", f"{number}.txt", b"a file", **about, **caption)
    await admin.sees("album of 3")
    await admin.tap("Send to")
    await admin.sees("Send it to")
    await admin.tap("Send to")
    await admin.sees("Broadcast · done")
    for person in people:
        messages = await stage.person(person).from_bot()
        assert len(messages) == 3
        entries = list(world_of(stage).chats[BOT_ID, person].newest())
        assert len({entry.message["media_group_id"] for entry in entries}) == 1


@pytest.mark.long
async def test_ten_kills(stage: Stage, admin: Person) -> None:
    """Everyone is sent it, nobody twice, and whoever is unknown is written down as such."""
    await stage.inngest.close()
    people = await add_people(stage, KILLED_PEOPLE)
    bot = await stage.start_bot(ready=False)
    broadcast = await start(stage, admin)
    for kill in range(10):
        await sent_at_least(stage, broadcast, (kill + 1) * KILLED_PEOPLE // 12, seconds=120)
        await bot.kill()
        await bot.start()
    await is_done(stage, broadcast, seconds=120)
    counts = await count_recipients(stage.db, broadcast)
    rows = await stage.db.fetch("SELECT user_id, state FROM broadcast_recipients")
    assert {row["state"] for row in rows} <= {"sent", "unknown"}
    assert counts.sent + counts.unknown == KILLED_PEOPLE
    messages = got(stage, people)
    assert max(messages.values()) == 1, "nobody twice"
    assert {row["user_id"] for row in rows if row["state"] == "sent"} <= set(+messages)
    assert counts.unknown <= 10 * 5, "a death leaves little unknown"
    print(f"{KILLED_PEOPLE} people, 10 kills: {counts.sent} sent, {counts.unknown} unknown")


async def test_killed_on_plan_a(stage: Stage, admin: Person) -> None:
    people = await add_people(stage, 60)
    bot = await stage.start_bot()
    broadcast = await start(stage, admin)
    await sent_at_least(stage, broadcast, 20)
    await bot.kill()
    await bot.start()
    await is_done(stage, broadcast)
    counts = await count_recipients(stage.db, broadcast)
    assert counts.sent + counts.unknown == 60
    assert max(got(stage, people).values()) == 1


async def test_stop_stops_within_two_seconds(stage: Stage, admin: Person, plan: PlanName) -> None:
    people = await add_people(stage, 300)
    await stage.start_bot(ready=plan == "A")
    broadcast = await start(stage, admin)
    await sent_at_least(stage, broadcast, 15)
    await admin.can_tap("Stop")
    tapped = time.monotonic()
    await admin.tap("Stop")

    async def stopped() -> bool:
        counts = await count_recipients(stage.db, broadcast)
        return (
            await state_of(stage, broadcast) == "stopped"
            and await _nothing_is_in_flight(stage)
            and counts.sent > 0
        )

    await until(stopped, what="it is stopped")
    assert time.monotonic() - tapped < 2
    had = got(stage, people).total()
    await admin.sees("Broadcast · stopped")
    await stage.ended_jobs(1)
    assert got(stage, people).total() == had < 300
    assert (await count_recipients(stage.db, broadcast)).sent == had


async def _nothing_is_in_flight(stage: Stage) -> bool:
    return not await stage.db.fetchval("SELECT count(*) FROM broadcast_recipients WHERE state = 'sending'")


async def test_paused_and_resumed_by_another_process(stage: Stage, admin: Person, plan: PlanName) -> None:
    people = await add_people(stage, 60)
    first = await stage.start_bot(ready=plan == "A")
    broadcast = await start(stage, admin)
    await sent_at_least(stage, broadcast, 10)
    await admin.can_tap("Pause")
    await admin.tap("Pause")
    await admin.sees("Broadcast · paused")
    await stage.ended_jobs(1)
    had = got(stage, people).total()
    assert 0 < had < 60
    await first.terminate()
    await stage.start_bot(ready=False)
    await admin.tap("Resume")
    await is_done(stage, broadcast)
    assert set(got(stage, people).values()) == {1}
    assert had < (await count_recipients(stage.db, broadcast)).sent == 60


@pytest.mark.parametrize("asked", [2, pytest.param(30, marks=pytest.mark.long)], ids="429 of {} s".format)
async def test_refusals_are_counted_right_and_nobody_is_deleted(
    stage: Stage, admin: Person, plan: PlanName, asked: int
) -> None:
    people = await add_people(stage, 40)
    await stage.start_bot(ready=plan == "A")
    known = await stage.db.fetchval("SELECT count(*) FROM users") + 1
    blocked, deactivated, gone, shaky, hopeless, lost, hurried = people[:7]
    world_of(stage).chats[BOT_ID, blocked].blocked = True
    world_of(stage).chats[BOT_ID, gone].started = False
    del world_of(stage).people[gone]
    copies = {"method": "copyMessage"}
    await stage.telegram.fault(
        **copies, chat_id=deactivated, code=403, description="Forbidden: user is deactivated"
    )
    await stage.telegram.fault(**copies, chat_id=shaky, code=500, times=2)
    await stage.telegram.fault(**copies, chat_id=hopeless, code=500, times=10)
    await stage.telegram.fault(**copies, chat_id=lost, drop=True, after=True)
    await stage.telegram.fault(**copies, chat_id=hurried, code=429, retry_after=asked)
    begun = time.monotonic()
    broadcast = await start(stage, admin)
    await is_done(stage, broadcast, seconds=asked + 20)
    assert time.monotonic() - begun >= asked, "the 429 is obeyed by all"
    counts = await count_recipients(stage.db, broadcast)
    assert (counts.sent, counts.failed, counts.blocked, counts.unknown) == (35, 1, 3, 1)
    messages = got(stage, people)
    assert messages[lost] == 1, "it went out, and is not sent again"
    assert messages[shaky] == messages[hurried] == 1
    assert max(messages.values()) == 1
    assert set(people) - await active(stage) == {blocked, deactivated, gone}
    assert await stage.db.fetchval("SELECT count(*) FROM users") == known, "nobody is deleted"
    last = await admin.sees("Broadcast · done")
    assert "Sent: 35 of 40" in words(last)


async def test_one_at_a_time(stage: Stage, admin: Person) -> None:
    await stage.inngest.close()
    await add_people(stage, 200)
    await stage.start_bot(ready=False)
    await start(stage, admin)
    with pytest.raises(Exception, match=r"broadcast\.another_runs"):
        await start(stage, admin)
    assert await stage.db.fetchval("SELECT count(*) FROM broadcast_recipients") == 200, "the second left nothing"


async def test_telegrams_limit_is_kept_and_people_are_answered(stage: Stage, admin: Person) -> None:
    await stage.inngest.close()
    people = await add_people(stage, 90)
    await stage.start_bot(ready=False)
    await stage.telegram.call("POST", "/sim/limits", {"per_second": 30, "per_chat": 1, "latency": 0.08})
    broadcast = await start(stage, admin)
    await sent_at_least(stage, broadcast, 5)
    ann = stage.person()
    began = time.monotonic()
    await ann.say("/start")
    await ann.can_tap("Text to image")
    assert time.monotonic() - began < 1.5
    await is_done(stage, broadcast)
    refused = [call for call in await stage.telegram.calls("copyMessage") if call["status"] == 429]
    assert refused == []
    assert set(got(stage, people).values()) == {1}
