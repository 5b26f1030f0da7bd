"""Inngest is ill in every way it can be: nobody waits for it, and every order is done."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from sandbox.inngest.clock import Pace
from sandbox.inngest.server import Fault, InngestStand
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Person, Stage, until
from tests.support.processes.bot_process import BotProcess

CREATE = "Create · 1 ⭐"


async def unplug(stage: Stage) -> None:
    await stage.inngest.unplug()


async def hang(stage: Stage) -> None:
    stage.inngest.fault = Fault.HANG


async def answer_500(stage: Stage) -> None:
    stage.inngest.fault = Fault.ERROR


async def heal(stage: Stage) -> None:
    stage.inngest.fault = Fault.NONE
    await stage.inngest.plug()


async def seconds_until_answered(person: Person, label: str = CREATE) -> float:
    """From the tap to the call that stops the button's spinner."""
    tapped_at = time.time()
    tap = await person.tap(label)

    async def look() -> float | None:
        calls = await person.telegram.calls("answerCallbackQuery")
        mine = [call for call in calls if call["params"]["callback_query_id"] in tap["callback_query_ids"]]
        return mine[0]["time"] - tapped_at if mine else None

    took: float = await until(look, what="the tap is answered")
    return took


async def started(stage: Stage, count: int) -> bool:
    jobs = await stage.jobs()
    return len(jobs) == count and all(job["started_at"] for job in jobs)


async def plan_is(stage: Stage, bot: BotProcess, plan: str) -> None:
    async def look() -> bool:
        return bool((await stage.health(bot))["plan"]["text_to_image"] == plan)

    await until(look, what=f"new orders go to plan {plan}")


@pytest.mark.parametrize(
    ("fall_ill", "ill_from_the_start"),
    [(unplug, True), (unplug, False), (hang, False), (answer_500, True)],
    ids=["closed from the start", "closed in the middle", "never answers", "answers 500"],
)
async def test_orders_go_to_plan_b_at_once_and_back_when_it_is_well_again(
    stage: Stage, fall_ill: Callable[[Stage], Awaitable[None]], ill_from_the_start: bool
) -> None:
    if ill_from_the_start:
        await fall_ill(stage)
    bot = await stage.start_bot(ready=not ill_from_the_start)
    people = [stage.person(1001 + number) for number in range(6)]
    for person in people:
        await person.write_card()
    if not ill_from_the_start:
        await fall_ill(stage)

    took = [await seconds_until_answered(people[0])]
    await until(lambda: started(stage, 1), what="the first order is begun")
    took += await asyncio.gather(*(seconds_until_answered(person) for person in people[1:5]))
    jobs = await stage.ended_jobs(5)
    assert max(took) < 1
    assert [(job["state"], job["plan"]) for job in jobs] == [("succeeded", "B")] * 5
    first, *later = [(job["started_at"] - job["created_at"]).total_seconds() for job in jobs]
    assert first < 2, "the send has a deadline of its own"
    assert max(later) < 0.5, "nobody waits for the deadline again"

    await heal(stage)
    await stage.plan_a_is_open(bot)
    await people[5].tap(CREATE)
    jobs = await stage.ended_jobs(6)
    assert (jobs[5]["state"], jobs[5]["plan"]) == ("succeeded", "A")
    assert stage.replicate.asked == 6
    assert (await check_ledger(stage.db)).right


async def test_accepted_events_that_never_run_are_taken_over_and_the_late_runs_change_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = stage.replicate.accept

    async def slow_for_bob(request: web.Request, model: str, version: str, body: dict[str, Any]) -> web.Response:
        stage.replicate.knobs.seconds = 3.0 if body["input"]["prompt"] == "a slow boat" else 0.0
        return await accept(request, model, version, body)

    monkeypatch.setattr(stage.replicate, "accept", slow_for_bob)
    await stage.start_bot(PLAN_A_START_TIMEOUT="0.5")
    ann, bob = stage.person(), stage.person(1002)
    await ann.write_card()
    await bob.write_card("a slow boat")
    stage.inngest.fault = Fault.DEAD_EXECUTOR
    assert await seconds_until_answered(ann) < 1
    assert await seconds_until_answered(bob) < 1

    async def done_and_said() -> list[dict[str, Any]]:
        return [job for job in await stage.jobs() if job["shown"]]

    (job,) = await until(done_and_said, what="ann's order is done, and its last word said")
    assert (job["user_id"], job["state"], job["plan"]) == (ann.id, "succeeded", "B")
    await bob.sees(bob.said("progress.running"))
    stage.inngest.fault = Fault.NONE  # ann's run comes after her job has ended, bob's in the middle of his

    async def both_runs_have_come() -> bool:
        runs = stage.inngest.engine.runs.values()
        orders = [run for run in runs if run.function.id.endswith("generate-text-to-image")]
        return len(orders) == 2 and all(run.ended for run in orders)

    await until(both_runs_have_come, what="the late runs have come")
    assert (await stage.jobs())[0] == job, "the late run wrote nothing"
    jobs = await stage.ended_jobs(2)
    assert (jobs[1]["state"], jobs[1]["plan"]) == ("succeeded", "B")
    assert {row["plan"] for row in await stage.db.fetch("SELECT plan FROM journal")} == {"B"}
    for person in (ann, bob):
        await person.sees("Done · 1 ⭐")
        assert len(await person.photos()) == 1
        assert await get_balance(stage.db, person.id) == Balance(99, 0)
    assert stage.replicate.asked == 2


async def test_mode_a_waits_for_inngest_and_says_so(stage: Stage) -> None:
    bot = await stage.start_bot()
    ann, bob = stage.person(), stage.person(1002)
    await ann.write_card()
    await stage.inngest.unplug()
    await stage.set_mode("a")
    await until(lambda: _says(stage, bot, "not serving"), what="mode a has reached the running process")
    assert await seconds_until_answered(ann) < 1
    await ann.sees(ann.said("progress.waiting"))
    (job,) = await stage.jobs()
    assert (job["state"], job["plan"], job["started_at"]) == ("queued", "A", None)
    assert await get_balance(stage.db, ann.id) == Balance(99, 1), "set aside, not charged"

    await stage.set_mode("b", "mode:text_to_image")
    await plan_is(stage, bot, "B")
    await bob.quick_order()
    await bob.sees("Done · 1 ⭐")

    await stage.set_mode(None, "mode:text_to_image")
    await stage.inngest.plug()
    jobs = await stage.ended_jobs(2)
    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    await ann.sees("Done · 1 ⭐")
    assert len(await ann.photos()) == 1


async def test_mode_a_says_that_it_waits_when_inngest_turns_out_to_be_away_only_at_the_send(
    stage: Stage,
) -> None:
    bot = await stage.start_bot()
    await stage.set_mode("a")
    ann = stage.person()
    await ann.write_card()
    await plan_is(stage, bot, "A")
    await stage.inngest.unplug()
    await ann.tap(CREATE)
    await ann.sees(ann.said("progress.waiting"), seconds=5)


async def test_mode_a_ends_a_job_that_plan_a_had_to_let_go(stage: Stage) -> None:
    """Telegram is away for longer than a step of Inngest is tried: the job still ends."""
    bot = await stage.start_bot()
    await stage.set_mode("a")
    await plan_is(stage, bot, "A")
    await stage.telegram.fault(method="sendPhoto", code=500, times=5)
    ann = stage.person()
    await ann.quick_order()
    (job,) = await stage.ended_jobs(seconds=8)
    assert job["state"] == "succeeded"
    assert len(await ann.photos()) == 1


async def _says(stage: Stage, bot: BotProcess, status: str) -> bool:
    return bool((await stage.health(bot))["status"] == status)


async def test_a_run_that_failed_before_it_began_is_sent_again_under_another_id(stage: Stage) -> None:
    """Mode `a`: every process is away for longer than Inngest tries."""
    await stage.inngest.close()
    stage.inngest = InngestStand(pace=Pace(retry_delays=(0.05,), unreachable_limit=0.0))
    await stage.inngest.start()
    stage.settings |= {"INNGEST_BASE_URL": stage.inngest.url, "PLAN_A_START_TIMEOUT": "2"}
    await stage.set_mode("a")
    bot = await stage.start_bot()
    ann = stage.person()
    await ann.write_card()
    stage.inngest.fault = Fault.DEAD_EXECUTOR
    await ann.tap("Create")

    async def accepted() -> bool:
        return len(await stage.jobs()) == 1 and not await stage.db.fetchval("SELECT count(*) FROM outbox")

    await until(accepted)
    await bot.kill()
    stage.inngest.fault = Fault.NONE

    async def failed() -> bool:
        runs = [run for run in stage.inngest.engine.runs.values() if run.function.id.endswith("text-to-image")]
        return bool(runs) and all(run.ended for run in runs)

    await until(failed)
    await bot.start()
    await stage.ended_jobs(seconds=15)
