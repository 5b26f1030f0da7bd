"""Telegram answers 429, 500, 403 and 400, or not at all: orders still end, and every call obeys a 429."""

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


async def calls_with_status(environment: Environment, status: int) -> list[dict[str, Any]]:
    return [call for call in await environment.telegram.api_calls() if call["status"] == status]


async def assert_one_image_for_one_credit(environment: Environment, user: SandboxUser) -> None:
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
async def test_retry_after_pauses_every_call(environment: Environment, ann: SandboxUser, method: str) -> None:
    """Except calls that send nothing to a chat: polling, and answering a pre-checkout query."""
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method=method, code=429, retry_after=1)
    await ann.tap("Create")
    await assert_one_image_for_one_credit(environment, ann)
    (call,) = await calls_with_status(environment, 429)
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
    assert during == [], "no call before the time is over"


@pytest.mark.parametrize("ann", ["B"], indirect=True)
async def test_retry_after_requested_twice_waits_twice(environment: Environment, ann: SandboxUser) -> None:
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendPhoto", code=429, retry_after=1, times=2)
    await ann.tap("Create")
    await assert_one_image_for_one_credit(environment, ann)
    assert len(await calls_with_status(environment, 429)) == 2


@pytest.mark.parametrize(
    ("ann", "fault"),
    [("A", {"code": 500}), ("B", {"drop": True})],
    indirect=["ann"],
    ids=["500", "connection lost"],
)
async def test_delivery_during_a_telegram_outage_is_retried(
    environment: Environment, ann: SandboxUser, fault: dict[str, Any]
) -> None:
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendPhoto", times=2, **fault)
    await ann.tap("Create")
    await assert_one_image_for_one_credit(environment, ann)


async def test_failed_progress_edits_and_callback_answers_do_not_fail_the_order(
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


async def test_image_refused_by_telegram_returns_the_credits(environment: Environment, ann: SandboxUser) -> None:
    await ann.open_card_by_prompt()
    refusal = "Bad Request: PHOTO_INVALID_DIMENSIONS"
    await environment.telegram.add_fault(method="sendPhoto", code=400, description=refusal, times=1)
    await ann.tap("Create")
    message = await ann.wait_for_text(ann.text("failure.delivery"))
    assert ann.text("failure.returned", 1) in message_text(message)
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.delivery")
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)
    assert not [m for m in await ann.bot_messages() if "PHOTO_INVALID" in message_text(m)]


async def test_user_who_blocks_the_bot_is_inactive_until_they_return(
    environment: Environment, ann: SandboxUser
) -> None:
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendPhoto", code=403)
    await ann.tap("Create")
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.unreachable")
    user = await get_user(environment.db, ann.id)
    assert user
    assert not user.active
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)
    assert (await check_ledger(environment.db)).is_consistent

    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("start.back", name="Ann"))
    user = await get_user(environment.db, ann.id)
    assert user
    assert user.active


async def test_block_and_unblock_updates_change_the_users_state(environment: Environment) -> None:
    async def active() -> bool:
        user = await get_user(environment.db, 1001)
        return user is not None and user.active

    async def inactive() -> bool:
        return not await active()

    await environment.start_bot(ready=False)
    ann = environment.user()
    await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")
    for blocked, has_changed in ((True, inactive), (False, active)):
        await environment.telegram.api.post("block", user_id=1001, blocked=blocked)
        await wait_until(has_changed, what=f"the bot knows that blocked is {blocked}")


async def test_failed_order_with_an_unreachable_chat_still_ends(
    environment: Environment, ann: SandboxUser
) -> None:
    environment.replicate.behaviour.outcome = "fail"
    await ann.open_card_by_prompt()
    await environment.telegram.add_fault(method="sendMessage", code=400, description="Bad Request: chat not found")
    await ann.tap("Create")
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.provider")
    assert await get_balance(environment.db, ann.id) == Balance(100, 0)


async def test_handler_whose_answer_fails_tells_the_user(environment: Environment) -> None:
    await environment.start_bot(ready=False)
    ann = environment.user()
    await environment.telegram.add_fault(method="sendMessage", code=500)
    await ann.send_text("/start")
    await ann.wait_for_text(ann.text("failure.handler"))


async def test_failed_get_updates_is_retried(environment: Environment) -> None:
    await environment.telegram.add_fault(method="getUpdates", code=500)
    await environment.telegram.add_fault(method="getUpdates", code=429, retry_after=1)
    await environment.start_bot(ready=False)
    ann = environment.user()
    await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")
