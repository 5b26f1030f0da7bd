"""Inngest is ill in every way it can be: nobody waits for it, and every order is done."""

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

    took: float = await wait_until(look, what="the tap is answered")
    return took


async def started(environment: Environment, count: int) -> bool:
    jobs = await environment.jobs()
    return len(jobs) == count and all(job["started_at"] for job in jobs)


async def plan_is(environment: Environment, bot: BotProcess, plan: str) -> None:
    async def look() -> bool:
        return bool((await environment.health(bot))["plan"]["text_to_image"] == plan)

    await wait_until(look, what=f"new orders go to plan {plan}")


@pytest.mark.parametrize(
    ("fall_ill", "ill_from_the_start"),
    [(close_port, True), (close_port, False), (hang, False), (answer_500, True)],
    ids=["closed from the start", "closed in the middle", "never answers", "answers 500"],
)
async def test_orders_go_to_plan_b_at_once_and_back_when_it_is_well_again(
    environment: Environment, fall_ill: Callable[[Environment], Awaitable[None]], ill_from_the_start: bool
) -> None:
    if ill_from_the_start:
        await fall_ill(environment)
    bot = await environment.start_bot(ready=not ill_from_the_start)
    people = [environment.user(1001 + number) for number in range(6)]
    for person in people:
        await person.open_card_by_prompt()
    if not ill_from_the_start:
        await fall_ill(environment)

    took = [await seconds_until_answered(people[0])]
    await wait_until(lambda: started(environment, 1), what="the first order is begun")
    took += await asyncio.gather(*(seconds_until_answered(person) for person in people[1:5]))
    jobs = await environment.wait_for_ended_jobs(5)
    assert max(took) < 1
    assert [(job["state"], job["plan"]) for job in jobs] == [("succeeded", "B")] * 5
    first, *later = [(job["started_at"] - job["created_at"]).total_seconds() for job in jobs]
    assert first < 2, "the send has a deadline of its own"
    assert max(later) < 0.5, "nobody waits for the deadline again"

    await restore(environment)
    await environment.wait_for_plan_a(bot)
    await people[5].tap(CREATE)
    jobs = await environment.wait_for_ended_jobs(6)
    assert (jobs[5]["state"], jobs[5]["plan"]) == ("succeeded", "A")
    assert environment.replicate.creation_attempts == 6
    assert (await check_ledger(environment.db)).is_consistent


async def test_accepted_events_that_never_run_are_taken_over_and_the_late_runs_change_nothing(
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

    async def done_and_said() -> list[dict[str, Any]]:
        return [job for job in await environment.jobs() if job["finalized"]]

    (job,) = await wait_until(done_and_said, what="ann's order is done, and its last word said")
    assert (job["user_id"], job["state"], job["plan"]) == (ann.id, "succeeded", "B")
    await bob.wait_for_text(bob.text("progress.running"))
    environment.inngest.fault = Fault.NONE  # ann's run comes after her job has ended, bob's in the middle of his

    async def both_runs_have_come() -> bool:
        runs = environment.inngest.engine.runs.values()
        orders = [run for run in runs if run.function.id.endswith("generate-text-to-image")]
        return len(orders) == 2 and all(run.ended for run in orders)

    await wait_until(both_runs_have_come, what="the late runs have come")
    assert (await environment.jobs())[0] == job, "the late run wrote nothing"
    jobs = await environment.wait_for_ended_jobs(2)
    assert (jobs[1]["state"], jobs[1]["plan"]) == ("succeeded", "B")
    assert {row["plan"] for row in await environment.db.fetch("SELECT plan FROM journal")} == {"B"}
    for person in (ann, bob):
        await person.wait_for_text("Done · 1 ⭐")
        assert len(await person.photo_messages()) == 1
        assert await get_balance(environment.db, person.id) == Balance(99, 0)
    assert environment.replicate.creation_attempts == 2


async def test_mode_a_waits_for_inngest_and_says_so(environment: Environment) -> None:
    bot = await environment.start_bot()
    ann, bob = environment.user(), environment.user(1002)
    await ann.open_card_by_prompt()
    await environment.inngest.close_ports()
    await environment.set_mode("a")
    await wait_until(
        lambda: _wait_for_status(environment, bot, "not serving"), what="mode a has reached the running process"
    )
    assert await seconds_until_answered(ann) < 1
    await ann.wait_for_text(ann.text("progress.waiting"))
    (job,) = await environment.jobs()
    assert (job["state"], job["plan"], job["started_at"]) == ("queued", "A", None)
    assert await get_balance(environment.db, ann.id) == Balance(99, 1), "set aside, not charged"

    await environment.set_mode("b", "mode:text_to_image")
    await plan_is(environment, bot, "B")
    await bob.order_by_prompt()
    await bob.wait_for_text("Done · 1 ⭐")

    await environment.set_mode(None, "mode:text_to_image")
    await environment.inngest.open_ports()
    jobs = await environment.wait_for_ended_jobs(2)
    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    await ann.wait_for_text("Done · 1 ⭐")
    assert len(await ann.photo_messages()) == 1


async def test_mode_a_says_that_it_waits_when_inngest_turns_out_to_be_away_only_at_the_send(
    environment: Environment,
) -> None:
    bot = await environment.start_bot()
    await environment.set_mode("a")
    ann = environment.user()
    await ann.open_card_by_prompt()
    await plan_is(environment, bot, "A")
    await environment.inngest.close_ports()
    await ann.tap(CREATE)
    await ann.wait_for_text(ann.text("progress.waiting"), seconds=5)


async def test_mode_a_ends_a_job_that_plan_a_had_to_let_go(environment: Environment) -> None:
    """Telegram is away for longer than a step of Inngest is tried: the job still ends."""
    bot = await environment.start_bot()
    await environment.set_mode("a")
    await plan_is(environment, bot, "A")
    await environment.telegram.add_fault(method="sendPhoto", code=500, times=5)
    ann = environment.user()
    await ann.order_by_prompt()
    (job,) = await environment.wait_for_ended_jobs(seconds=8)
    assert job["state"] == "succeeded"
    assert len(await ann.photo_messages()) == 1


async def _wait_for_status(environment: Environment, bot: BotProcess, status: str) -> bool:
    return bool((await environment.health(bot))["status"] == status)


async def test_a_run_that_failed_before_it_began_is_sent_again_under_another_id(environment: Environment) -> None:
    """Mode `a`: every process is away for longer than Inngest tries."""
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
        runs = [
            run for run in environment.inngest.engine.runs.values() if run.function.id.endswith("text-to-image")
        ]
        return bool(runs) and all(run.ended for run in runs)

    await wait_until(failed)
    await bot.start()
    await environment.wait_for_ended_jobs(seconds=15)
