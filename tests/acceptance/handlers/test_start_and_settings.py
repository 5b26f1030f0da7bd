"""Onboarding, /settings, groups, and /admin: one bot for all of them."""

import itertools
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.messaging.command_menu import ADMIN_COMMANDS, COMMANDS
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
from tests.support.environments.factory import EnvironmentFactory

ADMIN = 7
GROUP = -1001234567
_ids = itertools.count(6001)


@pytest.fixture(scope="module")
async def environment(environments: EnvironmentFactory) -> AsyncIterator[Environment]:
    async with environments.open(Environment) as environment:
        await environment.inngest.close()
        await environment.user(ADMIN).send_text("hello?")  # creates the chat, so that the admins' menu can be set
        await environment.start_bot(ready=False, ADMIN_IDS=str(ADMIN))
        yield environment


@pytest.fixture
def ann(environment: Environment) -> SandboxUser:
    return environment.user(next(_ids))


# ---------------------------------------------------------------- onboarding


async def test_first_image_takes_three_actions_from_start(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/start")
    greeting = await ann.wait_for_text(ann.text("start.ready", balance=100))
    assert button_labels(greeting)[:3] == [
        chat_text(f"ready.{name}.button") for name in ("lighthouse", "fox", "street")
    ]
    assert any("Text to image" in label for label in button_labels(greeting)), "the menu is there as well"
    await ann.tap(ann.text("ready.fox.button"))
    card = await ann.wait_for_button(ann.text("button.confirm", price=1))
    assert ann.text("ready.fox.words") in message_text(card)
    assert card["message_id"] != greeting["message_id"], "the other prompts stay available"
    await ann.tap(ann.text("button.confirm", price=1))
    await ann.wait_for_text("balance 99 ⭐")
    assert environment.replicate.predictions[-1].input["prompt"] == ann.text("ready.fox.words")

    again = await ann.send_text("/start")
    later = await ann.wait_for_button("Text to image", after=again["message"]["message_id"])
    assert ann.text("ready.fox.button") not in button_labels(later), "no example prompts after the first order"


async def test_ready_prompts_are_in_the_users_language(environment: Environment) -> None:
    ivan = environment.user(next(_ids), language_code="ru", first_name="Иван")
    await ivan.send_text("/start")
    await ivan.wait_for_button(ivan.text("ready.street.button"))
    await ivan.tap(ivan.text("ready.street.button"))
    await ivan.wait_for_text(ivan.text("ready.street.words"))


async def test_user_who_blocks_the_bot_and_returns_is_welcomed_back(
    environment: Environment, ann: SandboxUser
) -> None:
    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("start.greeting", name="Ann").splitlines()[0])
    await environment.telegram.api.post("block", user_id=ann.id, blocked=True)
    await wait_until(lambda: is_active(environment, ann, False), what="the user is inactive")
    await environment.telegram.api.post("block", user_id=ann.id, blocked=False)
    await wait_until(lambda: is_active(environment, ann, True), what="the user is active again")
    back = await ann.send_text("/start")
    greeting = await ann.wait_for_text(ann.text("start.back", name="Ann"), after=back["message"]["message_id"])
    assert ann.text("ready.fox.button") in button_labels(greeting), "they have not ordered yet"


async def is_active(environment: Environment, user: SandboxUser, wanted: bool) -> bool:
    return bool(await environment.db.fetchval("SELECT active = $2 FROM users WHERE id = $1", user.id, wanted))


async def test_wizard_says_what_comes_next(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/start")
    await ann.wait_for_button("Text to image")
    await ann.tap("Text to image")
    await ann.wait_for_text(ann.text("wizard.then_price"))
    await ann.tap(ann.text("button.cancel"))
    await ann.wait_for_button("Photo to video")
    await ann.tap("Photo to video")
    await ann.wait_for_text(ann.text("wizard.then_more"))


# ---------------------------------------------------------------- settings


async def test_settings_buttons_set_news_and_quiet_hours(environment: Environment, ann: SandboxUser) -> None:
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


async def send_group_message(
    environment: Environment, user: SandboxUser, text: str, entities: list[dict[str, Any]], **more: Any
) -> int:
    """Send a raw update as Telegram does for a supergroup. Returns the id of the message."""
    message_id = next(_ids)
    sender = {"id": user.id, "is_bot": False, "first_name": "Ann", "language_code": user.language_code}
    chat = {"id": GROUP, "type": "supergroup", "title": "Friends"}
    message = {"message_id": message_id, "date": 1, "chat": chat, "from": sender, "text": text, **more}
    await environment.telegram.api.post("update", update={"message": {**message, "entities": entities}})
    return message_id


async def group_replies(environment: Environment) -> list[dict[str, Any]]:
    sent = await environment.telegram.api_calls("sendMessage")
    return [call["params"] for call in sent if str(call["params"].get("chat_id")) == str(GROUP)]


async def test_group_message_is_answered_only_if_addressed_to_the_bot(
    environment: Environment, ann: SandboxUser
) -> None:
    bot = (await environment.telegram.api.get(f"chat/{ADMIN}"))["bot"]
    name = bot["username"]
    await send_group_message(environment, ann, "a red fox", [])
    await send_group_message(environment, ann, "/start", [{"type": "bot_command", "offset": 0, "length": 6}])
    foreign_command = "/start@another_bot"
    await send_group_message(
        environment, ann, foreign_command, [{"type": "bot_command", "offset": 0, "length": len(foreign_command)}]
    )
    own_command = f"/start@{name}"
    await send_group_message(
        environment, ann, own_command, [{"type": "bot_command", "offset": 0, "length": len(own_command)}]
    )

    async def answered() -> list[dict[str, Any]]:
        return await group_replies(environment)

    (answer,) = await wait_until(answered, what="the group is answered")
    assert answer["text"] == chat_text("group.hello")
    assert f"https://t.me/{name}?start=group" in str(answer["reply_markup"])
    await ann.send_text("/menu")  # the private chat is not affected by the group
    await ann.wait_for_button("Text to image")
    assert len(await group_replies(environment)) == 1
    fsm = await environment.db.fetchval(
        "SELECT count(*) FROM conversations WHERE chat_id = $1 OR user_id = $2", GROUP, ann.id
    )
    assert fsm == 0
    assert await environment.db.fetchval("SELECT count(*) FROM jobs WHERE user_id = $1", ann.id) == 0


# ---------------------------------------------------------------- admins


async def test_admin_menu_runs_commands_and_shows_their_usage(environment: Environment) -> None:
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


async def test_admin_menu_for_a_non_admin_is_unknown(environment: Environment, ann: SandboxUser) -> None:
    await ann.send_text("/admin")
    await ann.wait_for_text(ann.text("other.command"))
    shown: Message = (await ann.bot_messages())[-1]
    await ann.tap("", data="adm:plan", message_id=shown["message_id"])
    await wait_until(
        lambda: toast_shown(environment, ann.text("stale.button")), what="the tap is answered like any unknown one"
    )


async def toast_shown(environment: Environment, text: str) -> bool:
    return text in await environment.telegram.toasts()


async def test_admin_commands_are_announced_to_admins_only(environment: Environment, ann: SandboxUser) -> None:
    async def announced() -> list[dict[str, Any]]:
        calls = await environment.telegram.api_calls("setMyCommands")
        return [call for call in calls if "chat_id" in str(call["params"].get("scope", ""))]

    (admin_call, *_) = await wait_until(announced, what="the admin's commands are announced")
    assert str(ADMIN) in str(admin_call["params"]["scope"])
    assert command_names(admin_call) >= set(ADMIN_COMMANDS)
    general_calls = [
        c for c in await environment.telegram.api_calls("setMyCommands") if not c["params"].get("scope")
    ]
    assert general_calls
    assert all(command_names(call) == set(COMMANDS) for call in general_calls)


def command_names(call: dict[str, Any]) -> set[str]:
    commands = call["params"]["commands"]
    return {each["command"] for each in (json.loads(commands) if isinstance(commands, str) else commands)}
