"""Telegram answers 429, 500, 403 and 400, or not at all: orders come to their end, and 429 is obeyed by all."""

from typing import Any

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from storage.users.users import get_user
from tests.support.environments.environment import Environment, PlanName, SandboxUser, message_text, wait_until


@pytest.fixture
async def ann(request: pytest.FixtureRequest, environment: Environment) -> SandboxUser:
    """On Plan A, unless the test says B."""
    plan: PlanName = getattr(request, "param", "A")
    if plan == "B":
        await environment.inngest.close_ports()
    await environment.start_bot(ready=plan == "A")
    return environment.user()


async def refused(environment: Environment, status: int) -> list[dict[str, Any]]:
    return [call for call in await environment.telegram.api_calls() if call["status"] == status]


async def one_picture_for_one_star(environment: Environment, user: SandboxUser) -> None:
    jobs = await environment.wait_for_ended_jobs()
    assert [job["state"] for job in jobs] == ["succeeded"]
    await user.wait_for_text("Done · 1 ⭐")
    assert len(await user.photo_messages()) == 1
    assert environment.replicate.creation_attempts == 1
    assert await get_balance(environment.db, user.id) == Balance(99, 0)
    assert (await check_ledger(environment.db)).is_consistent


@pytest.mark.parametrize(
    ("ann", "method"),
    [("A", "sendPhoto"), ("A", "editMessageText"), ("B", "answerCallbackQuery")],
    indirect=["ann"],
)
async def test_retry_after_is_obeyed_by_every_call(
    environment: Environment, ann: SandboxUser, method: str
) -> None:
    """But for those that send nothing to a chat: asking for updates, and answering before a payment."""
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method=method, code=429, retry_after=1)
    await ann.tap("Create")
    await one_picture_for_one_star(environment, ann)
    (call,) = await refused(environment, 429)
    assert call["method"] == method
    again = [each for each in await environment.telegram.api_calls(method) if each["seq"] > call["seq"]]
    assert again, "the refused call was made again"
    during = [
        each["method"]
        for each in await environment.telegram.api_calls()
        if call["seq"] < each["seq"]
        and call["time"] < each["time"] < call["time"] + 0.95
        and each["method"] != "getUpdates"
    ]
    assert during == [], "nobody calls before the time is over"


@pytest.mark.parametrize("ann", ["B"], indirect=True)
async def test_a_wait_that_is_asked_for_twice_is_waited_for_twice(
    environment: Environment, ann: SandboxUser
) -> None:
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendPhoto", code=429, retry_after=1, times=2)
    await ann.tap("Create")
    await one_picture_for_one_star(environment, ann)
    assert len(await refused(environment, 429)) == 2


@pytest.mark.parametrize(
    ("ann", "fault"),
    [("A", {"code": 500}), ("B", {"drop": True})],
    indirect=["ann"],
    ids=["500", "connection lost"],
)
async def test_a_telegram_that_fails_for_a_while_gets_the_picture_afterwards(
    environment: Environment, ann: SandboxUser, fault: dict[str, Any]
) -> None:
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendPhoto", times=2, **fault)
    await ann.tap("Create")
    await one_picture_for_one_star(environment, ann)


async def test_neither_progress_nor_a_taps_answer_is_worth_failing_for(
    environment: Environment, ann: SandboxUser
) -> None:
    await ann.open_card_by_prompt()
    for code in (400, 500, 403):
        await environment.telegram.add_fault(method="editMessageText", code=code)
    await environment.telegram.add_fault(
        method="answerCallbackQuery", code=400, description="Bad Request: query is too old"
    )
    await ann.tap("Create")
    await ann.wait_for_text("balance 99 ⭐")
    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] == "succeeded"
    assert len(await ann.photo_messages()) == 1


async def test_a_picture_that_telegram_refuses_is_paid_back(environment: Environment, ann: SandboxUser) -> None:
    await ann.open_card_by_prompt()
    refusal = "Bad Request: PHOTO_INVALID_DIMENSIONS"
    await environment.telegram.add_fault(method="sendPhoto", code=400, description=refusal, times=1)
    await ann.tap("Create")
    said = await ann.wait_for_text(ann.text("failure.delivery"))
    assert ann.text("failure.returned", 1) in message_text(said)
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.delivery")
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)
    assert not [m for m in await ann.bot_messages() if "PHOTO_INVALID" in message_text(m)]


async def test_a_person_who_blocks_the_bot_is_left_alone_until_they_come_back(
    environment: Environment, ann: SandboxUser
) -> None:
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendPhoto", code=403)
    await ann.tap("Create")
    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] in ("succeeded", "failed", "cancelled")
    user = await get_user(environment.db, ann.id)
    assert user
    assert not user.active
    assert (await get_balance(environment.db, ann.id)).held == 0
    assert (await check_ledger(environment.db)).is_consistent

    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("start.back", name="Ann"))
    user = await get_user(environment.db, ann.id)
    assert user
    assert user.active


async def test_blocking_and_unblocking_is_heard(environment: Environment) -> None:
    async def active() -> bool:
        user = await get_user(environment.db, 1001)
        return user is not None and user.active

    async def inactive() -> bool:
        return not await active()

    await environment.start_bot(ready=False)
    ann = environment.user()
    await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")
    for blocked, heard in ((True, inactive), (False, active)):
        await environment.telegram.call("POST", "/sim/block", {"user_id": 1001, "blocked": blocked})
        await wait_until(heard, what=f"the bot knows that blocked is {blocked}")


async def test_a_failed_order_of_somebody_who_has_gone_ends_too(
    environment: Environment, ann: SandboxUser
) -> None:
    environment.replicate.behaviour.outcome = "fail"
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendMessage", code=400, description="Bad Request: chat not found")
    await ann.tap("Create")
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.provider")
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)


async def test_a_handler_whose_answer_fails_says_so(environment: Environment) -> None:
    await environment.start_bot(ready=False)
    ann = environment.user()
    await environment.telegram.add_fault(method="sendMessage", code=500)
    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("failure.handler"))


async def test_a_telegram_that_does_not_answer_updates_is_asked_again(environment: Environment) -> None:
    await environment.telegram.add_fault(method="getUpdates", code=500)
    await environment.telegram.add_fault(method="getUpdates", code=429, retry_after=1)
    await environment.start_bot(ready=False)
    ann = environment.user()
    await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")
