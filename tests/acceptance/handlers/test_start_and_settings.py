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
from tests.support.environments.environment import (
    Environment,
    Message,
    SandboxUser,
    button_labels,
    chat_text,
    message_text,
    wait_until,
)
from tests.support.processes.bot_process import ProcessPool

ADMIN = 7
GROUP = -1001234567
_ids = itertools.count(6001)


@pytest.fixture(scope="module")
async def environment(
    postgres: str, process_pool: ProcessPool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Environment]:
    server, name = await asyncpg.connect(postgres), f"start_{secrets.token_hex(6)}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = f"{postgres.rpartition('/')[0]}/{name}"
    db = await create_pool(dsn, size=5)
    environment = Environment(db, dsn, tmp_path_factory.mktemp("start"), process_pool)
    await environment.open()
    await environment.inngest.close()
    try:
        await environment.user(ADMIN).send_text("hello?")  # Telegram has the chat, so the admins' menu can be set
        await environment.start_bot(ready=False, ADMIN_IDS=str(ADMIN))
        yield environment
    finally:
        await environment.close()
        await db.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


@pytest.fixture
def ann(environment: Environment) -> SandboxUser:
    return environment.user(next(_ids))


# ---------------------------------------------------------------- the first minute


async def test_from_start_to_a_picture_in_three_acts(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/start")
    greeting = await ann.wait_for_text(ann.text("start.ready", balance=100))
    assert button_labels(greeting)[:3] == [
        chat_text(f"ready.{name}.button") for name in ("lighthouse", "fox", "street")
    ]
    assert any("Text to image" in label for label in button_labels(greeting)), "the menu is there as well"
    await ann.tap(ann.text("ready.fox.button"))
    card = await ann.wait_for_button(ann.text("button.confirm", price=1))
    assert ann.text("ready.fox.words") in message_text(card)
    assert card["message_id"] != greeting["message_id"], "the other prompts stay within reach"
    await ann.tap(ann.text("button.confirm", price=1))
    await ann.wait_for_text("balance 99 ⭐")
    assert environment.replicate.predictions[-1].input["prompt"] == ann.text("ready.fox.words")

    again = await ann.send_text("/start")
    later = await ann.wait_for_button("Text to image", after=again["message"]["message_id"])
    assert ann.text("ready.fox.button") not in button_labels(later), "who has ordered knows the way"


async def test_ready_prompts_are_in_the_persons_language(environment: Environment) -> None:
    ivan = environment.user(next(_ids), language_code="ru", first_name="Иван")
    await ivan.send_text("/start")
    await ivan.wait_for_button(ivan.text("ready.street.button"))
    await ivan.tap(ivan.text("ready.street.button"))
    await ivan.wait_for_text(ivan.text("ready.street.words"))


async def test_who_blocked_the_bot_and_comes_back_is_known(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("start.greeting", name="Ann").splitlines()[0])
    await environment.telegram.call("POST", "/sim/block", {"user_id": ann.id, "blocked": True})
    await wait_until(lambda: is_active(environment, ann, False), what="who blocked the bot is inactive")
    await environment.telegram.call("POST", "/sim/block", {"user_id": ann.id, "blocked": False})
    await wait_until(lambda: is_active(environment, ann, True), what="who came back is active")
    back = await ann.send_text("/start")
    greeting = await ann.wait_for_text(ann.text("start.back", name="Ann"), after=back["message"]["message_id"])
    assert ann.text("ready.fox.button") in button_labels(greeting), "they have not ordered yet"


async def is_active(environment: Environment, user: SandboxUser, wanted: bool) -> bool:
    return bool(await environment.db.fetchval("SELECT active = $2 FROM users WHERE id = $1", user.id, wanted))


async def test_a_wizard_says_what_comes_next(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_text(ann.text("wizard.then_price"))
    await ann.tap(ann.text("button.cancel"))
    await ann.wait_for_button("Photo to video")
    await ann.tap("Photo to video")
    await ann.wait_for_text(ann.text("wizard.then_more"))


# ---------------------------------------------------------------- settings


async def test_news_and_quiet_hours_are_set_by_taps(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/settings")
    await ann.wait_for_button(ann.text("settings.button.news_off"))
    await ann.tap(ann.text("settings.button.news_off"))
    await ann.wait_for_button(ann.text("settings.button.news_on"))

    await ann.tap(ann.text("settings.button.quiet"))
    await ann.wait_for_text(ann.text("settings.clock.ask"))
    await ann.tap("", data=f"set:ahead:{3}:0", message_id=(await ann.bot_messages())[-1]["message_id"])
    await ann.wait_for_button("22–8")
    await ann.tap("22–8")
    shown = await ann.wait_for_text("22:00–08:00")
    assert f"{(datetime.now(UTC).hour + 3) % 24:02}:" in message_text(shown)
    preferences = await get_preferences(environment.db, ann.id)
    assert (preferences.wants_news, preferences.quiet_from, preferences.quiet_until) == (False, 19, 5)

    await ann.tap(ann.text("settings.button.quiet"))
    await ann.wait_for_button("✓ 22–8")
    await ann.tap(ann.text("settings.button.clock"))
    await ann.wait_for_text(ann.text("settings.clock.ask"))
    await ann.tap(ann.text("button.back"))
    await ann.wait_for_button(ann.text("settings.button.quiet_off"))
    await ann.tap(ann.text("settings.button.quiet_off"))
    await ann.wait_for_text(ann.text("settings.quiet.off"))
    await ann.tap(ann.text("button.language"))
    await ann.wait_for_text(ann.text("language.ask"))


# ---------------------------------------------------------------- groups


async def in_group(
    environment: Environment, user: SandboxUser, text: str, entities: list[dict[str, Any]], **more: Any
) -> int:
    """Raw updates, as Telegram sends them from a supergroup. Gives the id of the message."""
    message_id = next(_ids)
    sender = {"id": user.id, "is_bot": False, "first_name": "Ann", "language_code": user.language_code}
    chat = {"id": GROUP, "type": "supergroup", "title": "Friends"}
    message = {"message_id": message_id, "date": 1, "chat": chat, "from": sender, "text": text, **more}
    await environment.telegram.call(
        "POST", "/sim/update", {"update": {"message": {**message, "entities": entities}}}
    )
    return message_id


async def group_answers(environment: Environment) -> list[dict[str, Any]]:
    sent = await environment.telegram.api_calls("sendMessage")
    return [call["params"] for call in sent if str(call["params"].get("chat_id")) == str(GROUP)]


async def test_in_a_group_it_answers_only_when_it_is_spoken_to(environment: Environment, ann: SandboxUser) -> None:
    bot = (await environment.telegram.call("GET", f"/sim/chat/{ADMIN}"))["bot"]
    name = bot["username"]
    await in_group(environment, ann, "a red fox", [])
    await in_group(environment, ann, "/start", [{"type": "bot_command", "offset": 0, "length": 6}])
    other = "/start@another_bot"
    await in_group(environment, ann, other, [{"type": "bot_command", "offset": 0, "length": len(other)}])
    mine = f"/start@{name}"
    await in_group(environment, ann, mine, [{"type": "bot_command", "offset": 0, "length": len(mine)}])

    async def answered() -> list[dict[str, Any]]:
        return await group_answers(environment)

    (answer,) = await wait_until(answered, what="the group is answered")
    assert answer["text"] == chat_text("group.hello")
    assert f"https://t.me/{name}?start=group" in str(answer["reply_markup"])
    await ann.send_text("/menu")  # people's own chat goes on as if nothing had been said in the group
    await ann.wait_for_button("Text to image")
    assert len(await group_answers(environment)) == 1
    fsm = await environment.db.fetchval(
        "SELECT count(*) FROM conversations WHERE chat_id = $1 OR user_id = $2", GROUP, ann.id
    )
    assert fsm == 0
    assert await environment.db.fetchval("SELECT count(*) FROM jobs WHERE user_id = $1", ann.id) == 0


# ---------------------------------------------------------------- admins


async def test_the_admin_menu_acts_and_says_how_commands_are_written(environment: Environment) -> None:
    admin = environment.user(ADMIN)
    sent = await admin.send_text("/admin")
    menu = await admin.wait_for_button("/reconcile", after=sent["message"]["message_id"])
    assert {label.split("/")[-1] for label in button_labels(menu) if "/" in label} == set(ADMIN_COMMANDS) - {
        "admin"
    }
    for command, answer in (
        ("plan", chat_text("plan.title")),
        ("user", chat_text("user.usage")),
        ("promo", chat_text("promo.usage").splitlines()[0]),
        ("stats", "Margin"),
    ):
        await admin.tap(f"/{command}", message_id=menu["message_id"])
        await admin.wait_for_text(answer, after=menu["message_id"])


async def test_the_admin_menu_is_nobody_elses(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/admin")
    await ann.wait_for_text(ann.text("other.command"))
    shown: Message = (await ann.bot_messages())[-1]
    await ann.tap("", data="adm:plan", message_id=shown["message_id"])
    await wait_until(
        lambda: told(environment, ann.text("stale.button")), what="the tap is answered as any odd one"
    )


async def told(environment: Environment, text: str) -> bool:
    return text in await environment.telegram.toasts()


async def test_admin_commands_are_in_the_menus_of_admins_alone(environment: Environment, ann: SandboxUser) -> None:
    async def announced() -> list[dict[str, Any]]:
        calls = await environment.telegram.api_calls("setMyCommands")
        return [call for call in calls if "chat_id" in str(call["params"].get("scope", ""))]

    (own, *_) = await wait_until(announced, what="the admin's commands are announced")
    assert str(ADMIN) in str(own["params"]["scope"])
    assert names(own) >= set(ADMIN_COMMANDS)
    everybodys = [c for c in await environment.telegram.api_calls("setMyCommands") if not c["params"].get("scope")]
    assert everybodys
    assert all(names(call) == set(COMMANDS) for call in everybodys)


def names(call: dict[str, Any]) -> set[str]:
    given = call["params"]["commands"]
    return {each["command"] for each in (json.loads(given) if isinstance(given, str) else given)}
