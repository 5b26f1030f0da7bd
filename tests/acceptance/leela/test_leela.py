"""The game of Leela in the chat, on each plan: dice, reports, replies, and kills in between."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.environments.environment import (
    Environment,
    Message,
    SandboxUser,
    button_labels,
    message_text,
    wait_until,
)
from tests.support.environments.factory import EnvironmentFactory
from tests.support.processes.database_breakpoint import set_breakpoint

REPORT = "I think of my brother, whom I have not called since the winter, and of the door that I left open."
QUESTION = "One question to take along"


@pytest.fixture(scope="module", params=["A", "B"])
async def environment(
    request: pytest.FixtureRequest, environments: EnvironmentFactory
) -> AsyncIterator[Environment]:
    """One bot on one plan for all of this module; each test has its own users."""
    async with environments.open(
        Environment, plan=request.param, settings={"LEELA_DICE_SECONDS": "0"}
    ) as environment:
        yield environment


@pytest.fixture
def plan(environment: Environment, request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["environment"])


async def last_id(user: SandboxUser) -> int:
    return max((int(m["message_id"]) for m in await user.messages()), default=0)


async def start_game(user: SandboxUser) -> Message:
    await user.send_text("/game")
    return await user.wait_for_text("The board has 72 squares")


async def roll(environment: Environment, user: SandboxUser, value: int, **tap: Any) -> Message:
    """Roll the die. Returns the board that shows the move."""
    before = await last_id(user)
    await environment.telegram.api.post("dice", values=[value])
    await user.tap("🎲 Roll", **tap)
    return await user.wait_for_text(f"🎲 {value} · ", after=before)


async def send_report(user: SandboxUser, text: str = REPORT) -> Message:
    """Send a report. Returns the reply to it."""
    before = await last_id(user)
    await user.send_text(text)
    return await user.wait_for_text(QUESTION, after=before)


async def recorded_moves(environment: Environment, user: SandboxUser) -> list[tuple[int, int, str]]:
    rows = await environment.db.fetch(
        "SELECT roll, square, direction FROM leela_moves m JOIN leela_games g ON g.id = m.game_id "
        "WHERE g.user_id = $1 ORDER BY g.started_at, m.number",
        user.id,
    )
    return [(row["roll"], row["square"], row["direction"]) for row in rows]


async def dice_values(user: SandboxUser) -> list[int]:
    return [m["dice"]["value"] for m in await user.bot_messages() if m["dice"]]


@pytest.mark.long
async def test_whole_game_from_the_first_six_ends_on_the_home_square(environment: Environment, plan: str) -> None:
    ann = environment.user(5001)
    await start_game(ann)
    waiting = await roll(environment, ann, 3)
    assert "the piece waits on 68" in message_text(waiting)
    assert "🎲 Roll" in button_labels(waiting)
    entered = await roll(environment, ann, 6)
    assert "enters the game on 6" in message_text(entered)
    assert "6. Delusion" in message_text(entered)
    assert "at least 50 characters" in message_text(entered)
    assert "🎲 Roll" not in button_labels(entered)
    for value, square in ((4, 23), (4, 41), (4, 67)):
        reply = await send_report(ann)
        assert "I think of my brother" in message_text(reply)
        assert "🎲 Roll" in button_labels(reply)
        assert f"up to {square}" in message_text(await roll(environment, ann, value))
    await send_report(ann)
    won = await roll(environment, ann, 1)
    assert "You are home" in message_text(won)
    assert await recorded_moves(environment, ann) == [
        *((3, 68, "stop"), (6, 6, "step"), (4, 23, "arrow"), (4, 41, "arrow"), (4, 67, "arrow"), (1, 68, "win"))
    ]
    await ann.tap("My path")
    await ann.wait_for_text("68 → 6 → 10 🏹 23 → 27 🏹 41 → 45 🏹 67 → 68")
    assert len(await ann.photo_messages()) == 8
    before = await last_id(ann)
    await ann.tap("New game")
    await ann.wait_for_text("The board has 72 squares", after=before)
    steps = await environment.db.fetch("SELECT state, plan, internal FROM jobs WHERE user_id = $1", ann.id)
    assert len(steps) == 10
    assert {(row["state"], row["plan"], row["internal"]) for row in steps} == {("succeeded", plan, True)}


async def test_roll_before_the_report_is_refused_and_repeated_taps_roll_once(environment: Environment) -> None:
    ann = environment.user(5002)
    intro = await start_game(ann)
    await roll(environment, ann, 6, times=5)
    await ann.tap("🎲 Roll", message_id=intro["message_id"])
    await wait_until(
        lambda: toast_shown(environment, "First write what this square touches in you"), what="the tap is answered"
    )
    assert await recorded_moves(environment, ann) == [(6, 6, "step")]
    assert await dice_values(ann) == [6]

    await ann.send_text("Too short.")
    await ann.wait_for_text("40 characters are still missing")
    await ann.send_text("a  " * 25)
    await ann.wait_for_text("1 character is still missing")
    await send_report(ann)
    await roll(environment, ann, 2)
    assert await recorded_moves(environment, ann) == [(6, 6, "step"), (2, 8, "step")]


async def toast_shown(environment: Environment, text: str) -> bool:
    return text in await environment.telegram.toasts()


async def test_two_users_play_independent_games(environment: Environment) -> None:
    ann, boris = environment.user(5003), environment.user(5004, first_name="Борис", language_code="ru")
    await start_game(ann)
    await boris.send_text("/game")
    await boris.wait_for_text("На доске 72 клетки")
    await environment.telegram.api.post("dice", values=[6, 6])
    await ann.tap("🎲 Roll")
    await boris.tap("🎲 Бросить")
    await ann.wait_for_text("6. Delusion")
    await boris.wait_for_text("6. Заблуждение")
    await boris.send_text("Вспоминаю прошлую осень и то, как долго я не решался позвонить отцу.")
    await ann.send_text(REPORT)
    assert "my brother" in message_text(await ann.wait_for_text(QUESTION))
    assert "позвонить отцу" in message_text(await boris.wait_for_text("Вопрос с собой"))
    await roll(environment, ann, 4)
    assert await recorded_moves(environment, ann) == [(6, 6, "step"), (4, 23, "arrow")]
    assert await recorded_moves(environment, boris) == [(6, 6, "step")]


async def test_new_game_during_an_open_one_asks_for_confirmation(environment: Environment) -> None:
    ann = environment.user(5005)
    await start_game(ann)
    await roll(environment, ann, 6)
    await ann.send_text("/menu")
    await ann.wait_for_button("Text to image")
    before = await last_id(ann)
    await ann.send_text("/game")
    again = await ann.wait_for_text("Your game goes on here", after=before)
    assert "6. Delusion" in message_text(again)
    await ann.tap("Begin anew")
    await ann.wait_for_button("Yes, a new game")
    before = await last_id(ann)
    await ann.tap("No, go on")
    await ann.wait_for_text("Your game goes on here", after=before)
    await ann.tap("Yes, a new game")
    await ann.wait_for_text("The board has 72 squares", after=before)
    games = await environment.db.fetch(
        "SELECT moves, ended_at IS NULL AS open FROM leela_games WHERE user_id = $1 ORDER BY started_at", ann.id
    )
    assert [(row["moves"], row["open"]) for row in games] == [(1, False), (0, True)]
    await roll(environment, ann, 5)


async def test_report_against_the_rules_is_asked_for_again_and_despair_gets_a_caring_reply(
    environment: Environment,
) -> None:
    ann = environment.user(5006)
    await start_game(ann)
    await roll(environment, ann, 6)
    await ann.send_text(f"{REPORT} #refuse")
    refusal = await ann.wait_for_text("they go against the rules")
    stored_reports = (
        "SELECT count(report) FROM leela_moves m JOIN leela_games g ON g.id = m.game_id WHERE g.user_id = $1"
    )
    assert await environment.db.fetchval(stored_reports, ann.id) == 0
    await ann.send_text(f"{REPORT} Some nights I think of suicide.")
    reply = await ann.wait_for_text("you need not carry it alone", after=refusal["message_id"])
    assert "🎲 Roll" in button_labels(reply)
    await roll(environment, ann, 4)


@pytest.mark.parametrize(("step", "user_id"), [("step dice", 5011), ("step move", 5012), ("step deliver", 5013)])
async def test_game_after_a_kill_at_any_step_continues(
    environment: Environment, plan: str, step: str, user_id: int
) -> None:
    ann = environment.user(user_id)
    dice = 2 if step == "step dice" else 1
    await start_game(ann)
    if step == "step deliver":
        await roll(environment, ann, 6)
    async with set_breakpoint(environment.db, step) as db_breakpoint:
        if step == "step deliver":
            await ann.send_text(REPORT)
        else:
            await environment.telegram.api.post("dice", values=[6] * dice)
            await ann.tap("🎲 Roll")
        await db_breakpoint.wait_until_reached()
        await environment.bots[-1].kill()
        await db_breakpoint.drop_connection()
    await environment.start_bot(ready=plan == "A")
    if step != "step deliver":
        await ann.wait_for_text("6. Delusion")
        await ann.send_text(REPORT)
    await ann.wait_for_text(QUESTION)
    assert len([m for m in await ann.bot_messages() if QUESTION in message_text(m)]) == 1
    assert await recorded_moves(environment, ann) == [(6, 6, "step")]
    notes = [m for m in await ann.bot_messages() if "If you saw two dice" in message_text(m)]
    assert (len(await dice_values(ann)), len(notes)) == (dice, dice - 1)
    await ann.wait_for_button("🎲 Roll")
