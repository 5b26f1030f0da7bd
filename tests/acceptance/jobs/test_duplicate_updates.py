"""Duplicates are handled once: updates that Telegram sends again, and buttons tapped several times."""

import pytest

from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, Message, SandboxUser, message_text, wait_until


@pytest.fixture(params=["polling", "webhook"])
async def ann(request: pytest.FixtureRequest, environment: Environment) -> SandboxUser:
    await environment.start_bot(webhook=request.param == "webhook")
    return environment.user()


async def repeat(user: SandboxUser, update_id: int, times: int = 2) -> None:
    """Send an earlier update again, and wait until the bot has processed it."""
    await user.telegram.api.post("repeat", update_id=update_id, times=times)
    await wait_until_processed(user)


async def wait_until_processed(user: SandboxUser) -> None:
    """Send one more update: a user's updates are handled in order, so its answer means that all are processed."""
    sent = await user.send_text("/language")
    await user.wait_for_text(user.text("language.ask"), after=sent["message"]["message_id"])


async def messages_with(user: SandboxUser, text: str) -> list[Message]:
    return [message for message in await user.bot_messages() if text in message_text(message)]


async def assert_completed_once(environment: Environment, user: SandboxUser, *, jobs: int = 1) -> None:
    assert len(await environment.wait_for_ended_jobs(jobs)) == jobs
    await wait_until(lambda: _has_photos(user, jobs), what="the images have arrived")
    assert len(await environment.jobs()) == jobs
    kinds = await environment.db.fetch("SELECT kind, count(*) FROM ledger_transactions GROUP BY kind")
    assert {row["kind"]: row["count"] for row in kinds} == {"welcome": 1, "hold": jobs, "capture": jobs}
    assert await get_balance(environment.db, user.id) == Balance(100 - jobs, 0)
    assert environment.replicate.creation_attempts == jobs
    assert len(await user.photo_messages()) == jobs
    assert (await check_ledger(environment.db)).is_consistent


async def _has_photos(user: SandboxUser, count: int) -> bool:
    return len(await user.photo_messages()) >= count


async def test_update_delivered_three_times_is_handled_once(environment: Environment, ann: SandboxUser) -> None:
    start = await ann.send_text("/start")
    await ann.wait_for_text("Hello, Ann!")
    await repeat(ann, start["update_id"])
    assert len(await messages_with(ann, "Hello, Ann!")) == 1

    prompt = await ann.send_text("a red fox")
    await ann.wait_for_button("Create")
    await repeat(ann, prompt["update_id"])
    assert len(await messages_with(ann, "Price: 1 ⭐")) == 1

    tap = await ann.tap("Create")
    await repeat(ann, tap["update_id"])
    await assert_completed_once(environment, ann)
    await repeat(ann, tap["update_id"])
    await assert_completed_once(environment, ann)
    answers = await environment.telegram.api_calls("answerCallbackQuery")
    assert [call["params"]["callback_query_id"] for call in answers] == tap["callback_query_ids"]


async def test_five_taps_at_once_place_one_order(environment: Environment, ann: SandboxUser) -> None:
    await ann.open_card_by_prompt()
    await ann.tap("Create", times=5)
    await wait_until_processed(ann)
    await assert_completed_once(environment, ann)
    assert (await environment.telegram.toasts()).count(ann.text("stale.ordered")) == 4

    result = await ann.wait_for_button("Again · 1 ⭐")
    await ann.tap("Again · 1 ⭐", message_id=result["message_id"], times=5)
    await wait_until_processed(ann)
    await assert_completed_once(environment, ann, jobs=2)
    assert not await messages_with(ann, ann.text("order.accepting"))


async def test_updates_sent_while_the_bot_is_down_are_handled_once_after_restart(environment: Environment) -> None:
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.open_card_by_prompt()
    await bot.terminate()
    await ann.tap("Create", times=3)
    await bot.start()
    await assert_completed_once(environment, ann)
