"""What comes twice is done once: updates that Telegram brings again, and buttons tapped in a hurry."""

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Message, Person, Stage, until, words


@pytest.fixture(params=["polling", "webhook"])
async def ann(request: pytest.FixtureRequest, stage: Stage) -> Person:
    await stage.start_bot(webhook=request.param == "webhook")
    return stage.person()


async def repeat(person: Person, update_id: int, times: int = 2) -> None:
    """Bring an update that was there before again, and wait until the bot has been through it."""
    await person.telegram.call("POST", "/sim/repeat", {"update_id": update_id, "times": times})
    await last_word(person)


async def last_word(person: Person) -> None:
    """One person's updates are handled in order: once this one is answered, so are those before it."""
    sent = await person.say("/language")
    await person.sees(person.said("language.ask"), after=sent["message"]["message_id"])


async def holding(person: Person, text: str) -> list[Message]:
    return [message for message in await person.from_bot() if text in words(message)]


async def done_once(stage: Stage, person: Person, *, jobs: int = 1) -> None:
    assert len(await stage.ended_jobs(jobs)) == jobs
    await until(lambda: _photos(person, jobs), what="the pictures are there")
    assert len(await stage.jobs()) == jobs
    kinds = await stage.db.fetch("SELECT kind, count(*) FROM ledger_transactions GROUP BY kind")
    assert {row["kind"]: row["count"] for row in kinds} == {"welcome": 1, "hold": jobs, "capture": jobs}
    assert await get_balance(stage.db, person.id) == Balance(100 - jobs, 0)
    assert stage.replicate.asked == jobs
    assert len(await person.photos()) == jobs
    assert (await check_ledger(stage.db)).right


async def _photos(person: Person, count: int) -> bool:
    return len(await person.photos()) >= count


async def test_an_update_that_comes_three_times_does_its_work_once(stage: Stage, ann: Person) -> None:
    start = await ann.say("/start")
    await ann.sees("Hello, Ann!")
    await repeat(ann, start["update_id"])
    assert len(await holding(ann, "Hello, Ann!")) == 1

    prompt = await ann.say("a red fox")
    await ann.can_tap("Create")
    await repeat(ann, prompt["update_id"])
    assert len(await holding(ann, "Price: 1 ⭐")) == 1

    tap = await ann.tap("Create")
    await repeat(ann, tap["update_id"])
    await done_once(stage, ann)
    await repeat(ann, tap["update_id"])
    await done_once(stage, ann)
    answers = await stage.telegram.calls("answerCallbackQuery")
    assert [call["params"]["callback_query_id"] for call in answers] == tap["callback_query_ids"]


async def test_five_taps_at_once_are_one_order(stage: Stage, ann: Person) -> None:
    await ann.write_card()
    await ann.tap("Create", times=5)
    await last_word(ann)
    await done_once(stage, ann)
    assert (await stage.telegram.toasts()).count(ann.said("stale.ordered")) == 4

    result = await ann.can_tap("Again · 1 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=result["message_id"], times=5)
    await last_word(ann)
    await done_once(stage, ann, jobs=2)
    assert not await holding(ann, ann.said("order.accepting"))


async def test_updates_of_a_stopped_bot_wait_and_are_done_once_when_it_is_back(stage: Stage) -> None:
    bot = await stage.start_bot()
    ann = stage.person()
    await ann.write_card()
    await bot.terminate()
    await ann.tap("Create", times=3)
    await bot.start()
    await done_once(stage, ann)
