"""The game of Leela in the chat, on either plan: the die, reports, replies, and what is killed in between."""

import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from storage.pool import create_pool
from tests.support.environments.environment import Message, Person, Stage, labels, until, words
from tests.support.processes.bot_process import Forge
from tests.support.processes.database_breakpoint import breakpoint_at

REPORT = "I think of my brother, whom I have not called since the winter, and of the door that I left open."
QUESTION = "One question to take along"


@pytest.fixture(scope="module", params=["A", "B"])
async def house(
    request: pytest.FixtureRequest, postgres: str, forge: Forge, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """One bot on one plan for all of this module; each test has people of its own."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template")
    dsn = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    db = await create_pool(dsn, size=5)
    stage = Stage(db, dsn, tmp_path_factory.mktemp("leela"), forge)
    await stage.open()
    stage.settings["LEELA_DICE_SECONDS"] = "0"
    try:
        if request.param == "B":
            await stage.inngest.close()
        await stage.start_bot(ready=request.param == "A")
        yield stage
    finally:
        await stage.close()
        await db.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
def plan(house: Stage, request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["house"])


async def last_id(person: Person) -> int:
    return max((int(m["message_id"]) for m in await person.messages()), default=0)


async def begin(person: Person) -> Message:
    await person.say("/game")
    return await person.sees("The board has 72 squares")


async def roll(house: Stage, person: Person, value: int, **tap: Any) -> Message:
    """Throw the die, and give the board that shows the move."""
    before = await last_id(person)
    await house.telegram.call("POST", "/sim/dice", {"values": [value]})
    await person.tap("🎲 Roll", **tap)
    return await person.sees(f"🎲 {value} · ", after=before)


async def tell(person: Person, text: str = REPORT) -> Message:
    """Write a report, and give the reply to it."""
    before = await last_id(person)
    await person.say(text)
    return await person.sees(QUESTION, after=before)


async def rolled(house: Stage, person: Person) -> list[tuple[int, int, str]]:
    rows = await house.db.fetch(
        "SELECT roll, square, direction FROM leela_moves m JOIN leela_games g ON g.id = m.game_id "
        "WHERE g.user_id = $1 ORDER BY g.started_at, m.number",
        person.id,
    )
    return [(row["roll"], row["square"], row["direction"]) for row in rows]


async def dice_of(person: Person) -> list[int]:
    return [m["dice"]["value"] for m in await person.from_bot() if m["dice"]]


@pytest.mark.long
async def test_a_whole_game_from_the_first_six_to_the_home_square(house: Stage, plan: str) -> None:
    ann = house.person(5001)
    await begin(ann)
    waits = await roll(house, ann, 3)
    assert "the piece waits on 68" in words(waits)
    assert "🎲 Roll" in labels(waits)
    entered = await roll(house, ann, 6)
    assert "enters the game on 6" in words(entered)
    assert "6. Delusion" in words(entered)
    assert "at least 50 characters" in words(entered)
    assert "🎲 Roll" not in labels(entered)
    for value, square in ((4, 23), (4, 41), (4, 67)):
        reply = await tell(ann)
        assert "I think of my brother" in words(reply)
        assert "🎲 Roll" in labels(reply)
        assert f"up to {square}" in words(await roll(house, ann, value))
    await tell(ann)
    won = await roll(house, ann, 1)
    assert "You are home" in words(won)
    assert await rolled(house, ann) == [
        *((3, 68, "stop"), (6, 6, "step"), (4, 23, "arrow"), (4, 41, "arrow"), (4, 67, "arrow"), (1, 68, "win"))
    ]
    await ann.tap("My path")
    await ann.sees("68 → 6 → 10 🏹 23 → 27 🏹 41 → 45 🏹 67 → 68")
    assert len(await ann.photos()) == 8
    before = await last_id(ann)
    await ann.tap("New game")
    await ann.sees("The board has 72 squares", after=before)
    steps = await house.db.fetch("SELECT state, plan, errand FROM jobs WHERE user_id = $1", ann.id)
    assert len(steps) == 10
    assert {(row["state"], row["plan"], row["errand"]) for row in steps} == {("succeeded", plan, True)}


async def test_no_roll_before_report_and_reply_and_none_twice(house: Stage) -> None:
    ann = house.person(5002)
    intro = await begin(ann)
    await roll(house, ann, 6, times=5)
    await ann.tap("🎲 Roll", message_id=intro["message_id"])
    await until(lambda: toasted(house, "First write what this square touches in you"), what="the tap is answered")
    assert await rolled(house, ann) == [(6, 6, "step")]
    assert await dice_of(ann) == [6]

    await ann.say("Too short.")
    await ann.sees("40 characters are still missing")
    await ann.say("a  " * 25)
    await ann.sees("1 character is still missing")
    await tell(ann)
    await roll(house, ann, 2)
    assert await rolled(house, ann) == [(6, 6, "step"), (2, 8, "step")]


async def toasted(house: Stage, text: str) -> bool:
    return text in await house.telegram.toasts()


async def test_two_people_play_side_by_side(house: Stage) -> None:
    ann, boris = house.person(5003), house.person(5004, first_name="Борис", language_code="ru")
    await begin(ann)
    await boris.say("/game")
    await boris.sees("На доске 72 клетки")
    await house.telegram.call("POST", "/sim/dice", {"values": [6, 6]})
    await ann.tap("🎲 Roll")
    await boris.tap("🎲 Бросить")
    await ann.sees("6. Delusion")
    await boris.sees("6. Заблуждение")
    await boris.say("Вспоминаю прошлую осень и то, как долго я не решался позвонить отцу.")
    await ann.say(REPORT)
    assert "my brother" in words(await ann.sees(QUESTION))
    assert "позвонить отцу" in words(await boris.sees("Вопрос с собой"))
    await roll(house, ann, 4)
    assert await rolled(house, ann) == [(6, 6, "step"), (4, 23, "arrow")]
    assert await rolled(house, boris) == [(6, 6, "step")]


async def test_begin_anew_is_asked_first_and_an_open_game_is_resumed(house: Stage) -> None:
    ann = house.person(5005)
    await begin(ann)
    await roll(house, ann, 6)
    await ann.say("/menu")
    await ann.can_tap("Text to image")
    before = await last_id(ann)
    await ann.say("/game")
    again = await ann.sees("Your game goes on here", after=before)
    assert "6. Delusion" in words(again)
    await ann.tap("Begin anew")
    await ann.can_tap("Yes, a new game")
    before = await last_id(ann)
    await ann.tap("No, go on")
    await ann.sees("Your game goes on here", after=before)
    await ann.tap("Yes, a new game")
    await ann.sees("The board has 72 squares", after=before)
    games = await house.db.fetch(
        "SELECT moves, ended_at IS NULL AS open FROM leela_games WHERE user_id = $1 ORDER BY started_at", ann.id
    )
    assert [(row["moves"], row["open"]) for row in games] == [(1, False), (0, True)]
    await roll(house, ann, 5)


async def test_words_against_the_rules_are_asked_for_again_and_despair_is_met_kindly(house: Stage) -> None:
    ann = house.person(5006)
    await begin(ann)
    await roll(house, ann, 6)
    await ann.say(f"{REPORT} #refuse")
    refused = await ann.sees("they go against the rules")
    kept = "SELECT count(report) FROM leela_moves m JOIN leela_games g ON g.id = m.game_id WHERE g.user_id = $1"
    assert await house.db.fetchval(kept, ann.id) == 0
    await ann.say(f"{REPORT} Some nights I think of suicide.")
    cared = await ann.sees("you need not carry it alone", after=refused["message_id"])
    assert "🎲 Roll" in labels(cared)
    await roll(house, ann, 4)


@pytest.mark.parametrize(("place", "user_id"), [("step dice", 5011), ("step move", 5012), ("step deliver", 5013)])
async def test_killed_anywhere_the_game_goes_on(house: Stage, plan: str, place: str, user_id: int) -> None:
    ann = house.person(user_id)
    dice = 2 if place == "step dice" else 1
    await begin(ann)
    if place == "step deliver":
        await roll(house, ann, 6)
    async with breakpoint_at(house.db, place) as stopped:
        if place == "step deliver":
            await ann.say(REPORT)
        else:
            await house.telegram.call("POST", "/sim/dice", {"values": [6] * dice})
            await ann.tap("🎲 Roll")
        await stopped.reached()
        await house.bots[-1].kill()
        await stopped.lose_write()
    await house.start_bot(ready=plan == "A")
    if place != "step deliver":
        await ann.sees("6. Delusion")
        await ann.say(REPORT)
    await ann.sees(QUESTION)
    assert len([m for m in await ann.from_bot() if QUESTION in words(m)]) == 1
    assert await rolled(house, ann) == [(6, 6, "step")]
    note = [m for m in await ann.from_bot() if "If you saw two dice" in words(m)]
    assert (len(await dice_of(ann)), len(note)) == (dice, dice - 1)
    await ann.can_tap("🎲 Roll")
