"""The first minute, /settings, groups, and /admin: one bot for all of them."""

import itertools
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from services.admin.command_menu import ADMIN_COMMANDS, COMMANDS
from storage.pool import create_pool
from storage.users.preferences import get_preferences
from tests.support.environments.environment import Message, Person, Stage, labels, said, until, words
from tests.support.processes.bot_process import Forge

ADMIN = 7
GROUP = -1001234567
_ids = itertools.count(6001)


@pytest.fixture(scope="module")
async def house(postgres: str, forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    server, name = await asyncpg.connect(postgres), f"start_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = f"{postgres.rpartition('/')[0]}/{name}"
    db = await create_pool(dsn, size=5)
    stage = Stage(db, dsn, tmp_path_factory.mktemp("start"), forge)
    await stage.open()
    await stage.inngest.close()
    try:
        await stage.person(ADMIN).say("hello?")  # Telegram has the chat, so the admins' menu can be set
        await stage.start_bot(ready=False, ADMIN_IDS=str(ADMIN))
        yield stage
    finally:
        await stage.close()
        await db.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


@pytest.fixture
def ann(house: Stage) -> Person:
    return house.person(next(_ids))


# ---------------------------------------------------------------- the first minute


async def test_from_start_to_a_picture_in_three_acts(house: Stage, ann: Person) -> None:
    await ann.say("/start")
    greeting = await ann.sees(ann.said("start.ready", balance=100))
    assert labels(greeting)[:3] == [said(f"ready.{name}.button") for name in ("lighthouse", "fox", "street")]
    assert any("Text to image" in label for label in labels(greeting)), "the menu is there as well"
    await ann.tap(ann.said("ready.fox.button"))
    card = await ann.can_tap(ann.said("button.confirm", price=1))
    assert ann.said("ready.fox.words") in words(card)
    assert card["message_id"] != greeting["message_id"], "the other prompts stay within reach"
    await ann.tap(ann.said("button.confirm", price=1))
    await ann.sees("balance 99 ⭐")
    assert house.replicate.predictions[-1].input["prompt"] == ann.said("ready.fox.words")

    again = await ann.say("/start")
    later = await ann.can_tap("Text to image", after=again["message"]["message_id"])
    assert ann.said("ready.fox.button") not in labels(later), "who has ordered knows the way"


async def test_ready_prompts_are_in_the_persons_language(house: Stage) -> None:
    ivan = house.person(next(_ids), language_code="ru", first_name="Иван")
    await ivan.say("/start")
    await ivan.can_tap(ivan.said("ready.street.button"))
    await ivan.tap(ivan.said("ready.street.button"))
    await ivan.sees(ivan.said("ready.street.words"))


async def test_who_blocked_the_bot_and_comes_back_is_known(house: Stage, ann: Person) -> None:
    await ann.say("/start")
    await ann.sees(ann.said("start.greeting", name="Ann").splitlines()[0])
    await house.telegram.call("POST", "/sim/block", {"user_id": ann.id, "blocked": True})
    await until(lambda: is_active(house, ann, False), what="who blocked the bot is inactive")
    await house.telegram.call("POST", "/sim/block", {"user_id": ann.id, "blocked": False})
    await until(lambda: is_active(house, ann, True), what="who came back is active")
    back = await ann.say("/start")
    greeting = await ann.sees(ann.said("start.back", name="Ann"), after=back["message"]["message_id"])
    assert ann.said("ready.fox.button") in labels(greeting), "they have not ordered yet"


async def is_active(house: Stage, person: Person, wanted: bool) -> bool:
    return bool(await house.db.fetchval("SELECT active = $2 FROM users WHERE id = $1", person.id, wanted))


async def test_a_wizard_says_what_comes_next(house: Stage, ann: Person) -> None:
    await ann.say("/start")
    await ann.can_tap("Text to image")
    await ann.tap("Text to image")
    await ann.sees(ann.said("wizard.then_price"))
    await ann.tap(ann.said("button.cancel"))
    await ann.can_tap("Photo to video")
    await ann.tap("Photo to video")
    await ann.sees(ann.said("wizard.then_more"))


# ---------------------------------------------------------------- settings


async def test_news_and_quiet_hours_are_set_by_taps(house: Stage, ann: Person) -> None:
    await ann.say("/settings")
    await ann.can_tap(ann.said("settings.button.news_off"))
    await ann.tap(ann.said("settings.button.news_off"))
    await ann.can_tap(ann.said("settings.button.news_on"))

    await ann.tap(ann.said("settings.button.quiet"))
    await ann.sees(ann.said("settings.clock.ask"))
    await ann.tap("", data=f"set:ahead:{3}:0", message_id=(await ann.from_bot())[-1]["message_id"])
    await ann.can_tap("22–8")
    await ann.tap("22–8")
    shown = await ann.sees("22:00–08:00")
    assert f"{(datetime.now(UTC).hour + 3) % 24:02}:" in words(shown)
    preferences = await get_preferences(house.db, ann.id)
    assert (preferences.news, preferences.quiet_from, preferences.quiet_until) == (False, 19, 5)

    await ann.tap(ann.said("settings.button.quiet"))
    await ann.can_tap("✓ 22–8")
    await ann.tap(ann.said("settings.button.clock"))
    await ann.sees(ann.said("settings.clock.ask"))
    await ann.tap(ann.said("button.back"))
    await ann.can_tap(ann.said("settings.button.quiet_off"))
    await ann.tap(ann.said("settings.button.quiet_off"))
    await ann.sees(ann.said("settings.quiet.off"))
    await ann.tap(ann.said("button.language"))
    await ann.sees(ann.said("language.ask"))


# ---------------------------------------------------------------- groups


async def in_group(house: Stage, person: Person, text: str, entities: list[dict[str, Any]], **more: Any) -> int:
    """Raw updates, as Telegram sends them from a supergroup. Gives the id of the message."""
    message_id = next(_ids)
    sender = {"id": person.id, "is_bot": False, "first_name": "Ann", "language_code": person.language_code}
    chat = {"id": GROUP, "type": "supergroup", "title": "Friends"}
    message = {"message_id": message_id, "date": 1, "chat": chat, "from": sender, "text": text, **more}
    await house.telegram.call("POST", "/sim/update", {"update": {"message": {**message, "entities": entities}}})
    return message_id


async def group_answers(house: Stage) -> list[dict[str, Any]]:
    sent = await house.telegram.calls("sendMessage")
    return [call["params"] for call in sent if str(call["params"].get("chat_id")) == str(GROUP)]


async def test_in_a_group_it_answers_only_when_it_is_spoken_to(house: Stage, ann: Person) -> None:
    bot = (await house.telegram.call("GET", f"/sim/chat/{ADMIN}"))["bot"]
    name = bot["username"]
    await in_group(house, ann, "a red fox", [])
    await in_group(house, ann, "/start", [{"type": "bot_command", "offset": 0, "length": 6}])
    other = "/start@another_bot"
    await in_group(house, ann, other, [{"type": "bot_command", "offset": 0, "length": len(other)}])
    mine = f"/start@{name}"
    await in_group(house, ann, mine, [{"type": "bot_command", "offset": 0, "length": len(mine)}])

    async def answered() -> list[dict[str, Any]]:
        return await group_answers(house)

    (answer,) = await until(answered, what="the group is answered")
    assert answer["text"] == said("group.hello")
    assert f"https://t.me/{name}?start=group" in str(answer["reply_markup"])
    await ann.say("/menu")  # people's own chat goes on as if nothing had been said in the group
    await ann.can_tap("Text to image")
    assert len(await group_answers(house)) == 1
    fsm = await house.db.fetchval("SELECT count(*) FROM fsm WHERE chat_id = $1 OR user_id = $2", GROUP, ann.id)
    assert fsm == 0
    assert await house.db.fetchval("SELECT count(*) FROM jobs WHERE user_id = $1", ann.id) == 0


# ---------------------------------------------------------------- admins


async def test_the_admin_menu_acts_and_says_how_commands_are_written(house: Stage) -> None:
    admin = house.person(ADMIN)
    sent = await admin.say("/admin")
    menu = await admin.can_tap("/reconcile", after=sent["message"]["message_id"])
    assert {label.split("/")[-1] for label in labels(menu) if "/" in label} == set(ADMIN_COMMANDS) - {"admin"}
    for command, answer in (
        ("plan", said("plan.title")),
        ("user", said("user.usage")),
        ("promo", said("promo.usage").splitlines()[0]),
        ("stats", "Margin"),
    ):
        await admin.tap(f"/{command}", message_id=menu["message_id"])
        await admin.sees(answer, after=menu["message_id"])


async def test_the_admin_menu_is_nobody_elses(house: Stage, ann: Person) -> None:
    await ann.say("/admin")
    await ann.sees(ann.said("other.command"))
    shown: Message = (await ann.from_bot())[-1]
    await ann.tap("", data="adm:plan", message_id=shown["message_id"])
    await until(lambda: told(house, ann.said("stale.button")), what="the tap is answered as any odd one")


async def told(house: Stage, text: str) -> bool:
    return text in await house.telegram.toasts()


async def test_admin_commands_are_in_the_menus_of_admins_alone(house: Stage, ann: Person) -> None:
    async def announced() -> list[dict[str, Any]]:
        calls = await house.telegram.calls("setMyCommands")
        return [call for call in calls if "chat_id" in str(call["params"].get("scope", ""))]

    (own, *_) = await until(announced, what="the admin's commands are announced")
    assert str(ADMIN) in str(own["params"]["scope"])
    assert names(own) >= set(ADMIN_COMMANDS)
    everybodys = [c for c in await house.telegram.calls("setMyCommands") if not c["params"].get("scope")]
    assert everybodys
    assert all(names(call) == set(COMMANDS) for call in everybodys)


def names(call: dict[str, Any]) -> set[str]:
    given = call["params"]["commands"]
    return {each["command"] for each in (json.loads(given) if isinstance(given, str) else given)}
