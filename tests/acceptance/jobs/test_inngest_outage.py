"""Inngest fails in every way it can: no user waits for it, and every order is completed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from sandbox.inngest.clock import Clock
from sandbox.inngest.server import Fault, InngestServer
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, SandboxUser, wait_until
from tests.support.processes.bot_process import BotProcess

CREATE = "Create · 1 ⭐"


async def close_port(environment: Environment) -> None:
    await environment.inngest.close_ports()


async def hang(environment: Environment) -> None:
    environment.inngest.fault = Fault.HANG


async def answer_500(environment: Environment) -> None:
    environment.inngest.fault = Fault.ERROR


async def restore(environment: Environment) -> None:
    environment.inngest.fault = Fault.NONE
    await environment.inngest.open_ports()


async def seconds_until_answered(user: SandboxUser, label: str = CREATE) -> float:
    """From the tap to the call that stops the button's spinner."""
    tapped_at = time.time()
    tap = await user.tap(label)

    async def look() -> float | None:
        calls = await user.telegram.api_calls("answerCallbackQuery")
        mine = [call for call in calls if call["params"]["callback_query_id"] in tap["callback_query_ids"]]
        return mine[0]["time"] - tapped_at if mine else None

    seconds: float = await wait_until(look, what="the tap is answered")
    return seconds


async def all_started(environment: Environment, count: int) -> bool:
    jobs = await environment.jobs()
    return len(jobs) == count and all(job["started_at"] for job in jobs)


async def wait_for_plan(environment: Environment, bot: BotProcess, plan: str) -> None:
    async def look() -> bool:
        return bool((await environment.health(bot))["plan"]["text_to_image"] == plan)

    await wait_until(look, what=f"new orders go to plan {plan}")


@pytest.mark.parametrize(
    ("start_outage", "from_the_start"),
    [(close_port, True), (close_port, False), (hang, False), (answer_500, True)],
    ids=["closed from the start", "closed later", "never answers", "answers 500"],
)
async def test_orders_during_an_inngest_outage_use_plan_b_and_then_plan_a_again(
    environment: Environment, start_outage: Callable[[Environment], Awaitable[None]], from_the_start: bool
) -> None:
    if from_the_start:
        await start_outage(environment)
    bot = await environment.start_bot(ready=not from_the_start)
    users = [environment.user(1001 + number) for number in range(6)]
    for user in users:
        await user.open_card_by_prompt()
    if not from_the_start:
        await start_outage(environment)

    seconds = [await seconds_until_answered(users[0])]
    await wait_until(lambda: all_started(environment, 1), what="the first order has started")
    seconds += await asyncio.gather(*(seconds_until_answered(user) for user in users[1:5]))
    jobs = await environment.wait_for_ended_jobs(5)
    assert max(seconds) < 1
    assert [(job["state"], job["plan"]) for job in jobs] == [("succeeded", "B")] * 5
    first, *later = [(job["started_at"] - job["created_at"]).total_seconds() for job in jobs]
    assert first < 2, "the send has its own timeout"
    assert max(later) < 0.5, "later orders do not wait for the timeout again"

    await restore(environment)
    await environment.wait_for_plan_a(bot)
    await users[5].tap(CREATE)
    jobs = await environment.wait_for_ended_jobs(6)
    assert (jobs[5]["state"], jobs[5]["plan"]) == ("succeeded", "A")
    assert environment.replicate.creation_attempts == 6
    assert (await check_ledger(environment.db)).is_consistent


async def test_order_on_plan_b_because_of_an_outage_is_recorded_as_fallen_back(environment: Environment) -> None:
    """One order was accepted for Plan A and moved, one went to Plan B at once, and one is there by its mode."""
    bot = await environment.start_bot()
    users = [environment.user(1001 + number) for number in range(3)]
    for user in users:
        await user.open_card_by_prompt()
    await environment.inngest.close_ports()
    await users[0].tap(CREATE)
    await wait_for_plan(environment, bot, "B")
    await users[1].tap(CREATE)
    await environment.wait_for_ended_jobs(2)
    await environment.inngest.open_ports()
    await wait_for_plan(environment, bot, "A")
    await environment.set_mode("b")
    await wait_for_plan(environment, bot, "B")
    await environment.inngest.close_ports()
    await users[2].tap(CREATE)
    jobs = await environment.wait_for_ended_jobs(3)
    assert [(job["user_id"], job["plan"], job["fell_back"]) for job in jobs] == [
        (1001, "B", True),
        (1002, "B", True),
        (1003, "B", False),
    ]
    events = await environment.db.fetch("SELECT job_id FROM job_events WHERE kind = 'fell_back' ORDER BY at")
    assert [row["job_id"] for row in events] == [jobs[0]["id"], jobs[1]["id"]]


async def test_accepted_events_that_never_run_are_taken_over_and_late_runs_change_nothing(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = environment.replicate.accept

    async def slow_for_bob(request: web.Request, model: str, version: str, body: dict[str, Any]) -> web.Response:
        environment.replicate.behaviour.seconds = 3.0 if body["input"]["prompt"] == "a slow boat" else 0.0
        return await accept(request, model, version, body)

    monkeypatch.setattr(environment.replicate, "accept", slow_for_bob)
    await environment.start_bot(PLAN_A_START_TIMEOUT="0.5")
    ann, bob = environment.user(), environment.user(1002)
    await ann.open_card_by_prompt()
    await bob.open_card_by_prompt("a slow boat")
    environment.inngest.fault = Fault.DEAD_EXECUTOR
    assert await seconds_until_answered(ann) < 1
    assert await seconds_until_answered(bob) < 1

    async def finalized_jobs() -> list[dict[str, Any]]:
        return [job for job in await environment.jobs() if job["finalized"]]

    (job,) = await wait_until(finalized_jobs, what="ann's order is done and finalized")
    assert (job["user_id"], job["state"], job["plan"]) == (ann.id, "succeeded", "B")
    await bob.wait_for_text(bob.text("progress.running"))
    environment.inngest.fault = Fault.NONE  # ann's run starts after her job has ended, bob's during his

    async def both_runs_ended() -> bool:
        runs = environment.image_runs()
        return len(runs) == 2 and all(run.ended for run in runs)

    await wait_until(both_runs_ended, what="the late runs have ended")
    assert (await environment.jobs())[0] == job, "the late run wrote nothing"
    jobs = await environment.wait_for_ended_jobs(2)
    assert (jobs[1]["state"], jobs[1]["plan"]) == ("succeeded", "B")
    assert {row["plan"] for row in await environment.db.fetch("SELECT plan FROM journal")} == {"B"}
    for user in (ann, bob):
        await user.wait_for_text("Done · 1 ⭐")
        assert len(await user.photo_messages()) == 1
        assert await get_balance(environment.db, user.id) == Balance(99, 0)
    assert environment.replicate.creation_attempts == 2


async def test_mode_a_during_an_outage_waits_and_tells_the_user(environment: Environment) -> None:
    bot = await environment.start_bot()
    ann, bob = environment.user(), environment.user(1002)
    await ann.open_card_by_prompt()
    await environment.inngest.close_ports()
    await environment.set_mode("a")
    await wait_until(lambda: _has_status(environment, bot, "not serving"), what="the running process has mode a")
    assert await seconds_until_answered(ann) < 1
    await ann.wait_for_text(ann.text("progress.waiting"))
    (job,) = await environment.jobs()
    assert (job["state"], job["plan"], job["started_at"]) == ("queued", "A", None)
    assert await get_balance(environment.db, ann.id) == Balance(99, 1), "held, not charged"

    await environment.set_mode("b", "mode:text_to_image")
    await wait_for_plan(environment, bot, "B")
    await bob.order_by_prompt()
    await bob.wait_for_text("Done · 1 ⭐")

    await environment.set_mode(None, "mode:text_to_image")
    await environment.inngest.open_ports()
    jobs = await environment.wait_for_ended_jobs(2)
    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    await ann.wait_for_text("Done · 1 ⭐")
    assert len(await ann.photo_messages()) == 1


async def test_mode_a_with_a_failing_send_tells_the_user_that_the_order_waits(
    environment: Environment,
) -> None:
    bot = await environment.start_bot()
    await environment.set_mode("a")
    ann = environment.user()
    await ann.open_card_by_prompt()
    await wait_for_plan(environment, bot, "A")
    await environment.inngest.close_ports()
    await ann.tap(CREATE)
    await ann.wait_for_text(ann.text("progress.waiting"), seconds=5)


async def test_mode_a_with_telegram_down_beyond_inngests_retries_still_ends_the_job(
    environment: Environment,
) -> None:
    """Telegram fails for longer than Inngest retries a step: the job still ends."""
    bot = await environment.start_bot()
    await environment.set_mode("a")
    await wait_for_plan(environment, bot, "A")
    await environment.telegram.add_fault(method="sendPhoto", code=500, times=5)
    ann = environment.user()
    await ann.order_by_prompt()
    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] == "succeeded"
    assert len(await ann.photo_messages()) == 1


async def _has_status(environment: Environment, bot: BotProcess, status: str) -> bool:
    return bool((await environment.health(bot))["status"] == status)


async def test_run_that_failed_before_it_started_is_resent_under_another_id(environment: Environment) -> None:
    """In mode `a`, every process is down for longer than Inngest retries."""
    await environment.inngest.close()
    environment.inngest = InngestServer(clock=Clock(retry_delays=(0.05,), unreachable_seconds=0.0))
    await environment.inngest.start()
    environment.settings |= {"INNGEST_BASE_URL": environment.inngest.url, "PLAN_A_START_TIMEOUT": "2"}
    await environment.set_mode("a")
    bot = await environment.start_bot()
    ann = environment.user()
    await ann.open_card_by_prompt()
    environment.inngest.fault = Fault.DEAD_EXECUTOR
    await ann.tap("Create")

    async def accepted() -> bool:
        return len(await environment.jobs()) == 1 and not await environment.db.fetchval(
            "SELECT count(*) FROM outbox"
        )

    await wait_until(accepted)
    await bot.kill()
    environment.inngest.fault = Fault.NONE

    async def failed() -> bool:
        runs = environment.image_runs()
        return bool(runs) and all(run.ended for run in runs)

    await wait_until(failed)
    await bot.start()
    await environment.wait_for_ended_jobs(seconds=15)
