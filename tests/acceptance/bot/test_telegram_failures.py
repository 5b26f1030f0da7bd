"""Telegram answers 429, 500, 403 and 400, or not at all: orders come to their end, and 429 is obeyed by all."""

from typing import Any

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from storage.users.users import get_user
from tests.support.environments.environment import Person, PlanName, Stage, until, words


@pytest.fixture
async def ann(request: pytest.FixtureRequest, stage: Stage) -> Person:
    """On Plan A, unless the test says B."""
    plan: PlanName = getattr(request, "param", "A")
    if plan == "B":
        await stage.inngest.unplug()
    await stage.start_bot(ready=plan == "A")
    return stage.person()


async def refused(stage: Stage, status: int) -> list[dict[str, Any]]:
    return [call for call in await stage.telegram.calls() if call["status"] == status]


async def one_picture_for_one_star(stage: Stage, person: Person) -> None:
    jobs = await stage.ended_jobs()
    assert [job["state"] for job in jobs] == ["succeeded"]
    await person.sees("Done · 1 ⭐")
    assert len(await person.photos()) == 1
    assert stage.replicate.asked == 1
    assert await get_balance(stage.db, person.id) == Balance(99, 0)
    assert (await check_ledger(stage.db)).right


@pytest.mark.parametrize(
    ("ann", "method"),
    [("A", "sendPhoto"), ("A", "editMessageText"), ("B", "answerCallbackQuery")],
    indirect=["ann"],
)
async def test_retry_after_is_obeyed_by_every_call(stage: Stage, ann: Person, method: str) -> None:
    """But for those that send nothing to a chat: asking for updates, and answering before a payment."""
    await ann.write_card()
    await stage.telegram.fault(method=method, code=429, retry_after=1)
    await ann.tap("Create")
    await one_picture_for_one_star(stage, ann)
    (call,) = await refused(stage, 429)
    assert call["method"] == method
    again = [each for each in await stage.telegram.calls(method) if each["seq"] > call["seq"]]
    assert again, "the refused call was made again"
    during = [
        each["method"]
        for each in await stage.telegram.calls()
        if call["seq"] < each["seq"]
        and call["time"] < each["time"] < call["time"] + 0.95
        and each["method"] != "getUpdates"
    ]
    assert during == [], "nobody calls before the time is over"


@pytest.mark.parametrize("ann", ["B"], indirect=True)
async def test_a_wait_that_is_asked_for_twice_is_waited_for_twice(stage: Stage, ann: Person) -> None:
    await ann.write_card()
    await stage.telegram.fault(method="sendPhoto", code=429, retry_after=1, times=2)
    await ann.tap("Create")
    await one_picture_for_one_star(stage, ann)
    assert len(await refused(stage, 429)) == 2


@pytest.mark.parametrize(
    ("ann", "fault"),
    [("A", {"code": 500}), ("B", {"drop": True})],
    indirect=["ann"],
    ids=["500", "connection lost"],
)
async def test_a_telegram_that_fails_for_a_while_gets_the_picture_afterwards(
    stage: Stage, ann: Person, fault: dict[str, Any]
) -> None:
    await ann.write_card()
    await stage.telegram.fault(method="sendPhoto", times=2, **fault)
    await ann.tap("Create")
    await one_picture_for_one_star(stage, ann)


async def test_neither_progress_nor_a_taps_answer_is_worth_failing_for(stage: Stage, ann: Person) -> None:
    await ann.write_card()
    for code in (400, 500, 403):
        await stage.telegram.fault(method="editMessageText", code=code)
    await stage.telegram.fault(method="answerCallbackQuery", code=400, description="Bad Request: query is too old")
    await ann.tap("Create")
    await ann.sees("balance 99 ⭐")
    (job,) = await stage.ended_jobs()
    assert job["state"] == "succeeded"
    assert len(await ann.photos()) == 1


async def test_a_picture_that_telegram_refuses_is_paid_back(stage: Stage, ann: Person) -> None:
    await ann.write_card()
    refusal = "Bad Request: PHOTO_INVALID_DIMENSIONS"
    await stage.telegram.fault(method="sendPhoto", code=400, description=refusal, times=1)
    await ann.tap("Create")
    said = await ann.sees(ann.said("failure.delivery"))
    assert ann.said("failure.returned", 1) in words(said)
    (job,) = await stage.ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.delivery")
    assert await get_balance(stage.db, ann.id) == Balance(100, 0)
    assert not [m for m in await ann.from_bot() if "PHOTO_INVALID" in words(m)]


async def test_a_person_who_blocks_the_bot_is_left_alone_until_they_come_back(stage: Stage, ann: Person) -> None:
    await ann.write_card()
    await stage.telegram.fault(method="sendPhoto", code=403)
    await ann.tap("Create")
    (job,) = await stage.ended_jobs()
    assert job["state"] in ("succeeded", "failed", "cancelled")
    user = await get_user(stage.db, ann.id)
    assert user
    assert not user.active
    assert (await get_balance(stage.db, ann.id)).held == 0
    assert (await check_ledger(stage.db)).right

    await ann.say("/start")
    await ann.sees(ann.said("start.back", name="Ann"))
    user = await get_user(stage.db, ann.id)
    assert user
    assert user.active


async def test_blocking_and_unblocking_is_heard(stage: Stage) -> None:
    async def active() -> bool:
        user = await get_user(stage.db, 1001)
        return user is not None and user.active

    async def inactive() -> bool:
        return not await active()

    await stage.start_bot(ready=False)
    ann = stage.person()
    await ann.say("/start")
    await ann.sees("Hello, Ann!")
    for blocked, heard in ((True, inactive), (False, active)):
        await stage.telegram.call("POST", "/sim/block", {"user_id": 1001, "blocked": blocked})
        await until(heard, what=f"the bot knows that blocked is {blocked}")


async def test_a_failed_order_of_somebody_who_has_gone_ends_too(stage: Stage, ann: Person) -> None:
    stage.replicate.knobs.outcome = "fail"
    await ann.write_card()
    await stage.telegram.fault(method="sendMessage", code=400, description="Bad Request: chat not found")
    await ann.tap("Create")
    (job,) = await stage.ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.provider")
    assert await get_balance(stage.db, ann.id) == Balance(100, 0)


async def test_a_handler_whose_answer_fails_says_so(stage: Stage) -> None:
    await stage.start_bot(ready=False)
    ann = stage.person()
    await stage.telegram.fault(method="sendMessage", code=500)
    await ann.say("/start")
    await ann.sees(ann.said("failure.handler"))


async def test_a_telegram_that_does_not_answer_updates_is_asked_again(stage: Stage) -> None:
    await stage.telegram.fault(method="getUpdates", code=500)
    await stage.telegram.fault(method="getUpdates", code=429, retry_after=1)
    await stage.start_bot(ready=False)
    ann = stage.person()
    await ann.say("/start")
    await ann.sees("Hello, Ann!")
