"""kill -9 at every step boundary, on both plans: one result, one charge, one request to the provider."""

import time

import pytest

from sandbox.inngest.clock import Clock
from sandbox.inngest.server import InngestServer
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import Environment, PlanName
from tests.support.processes.database_breakpoint import set_breakpoint

STEPS = ["step moderate", "step start-1", "step pause-1", "step poll-1", "step deliver", "end"]


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, environment: Environment) -> PlanName:
    """Plan A has a lease so long that the run resumes its job before Plan B may take it over."""
    name: PlanName = request.param
    await environment.inngest.close()
    if name == "A":
        environment.inngest = InngestServer(clock=Clock(retry_delays=(0.7,)))
        await environment.inngest.start()
        environment.settings |= {"INNGEST_BASE_URL": environment.inngest.url, "JOB_LEASE_SECONDS": "20"}
    return name


@pytest.mark.parametrize("written", [True, False], ids=["after the write", "before the write"])
async def test_kill_at_every_step_boundary_completes_the_job_once(
    environment: Environment, plan: PlanName, written: bool
) -> None:
    ann = environment.user()
    bot = await environment.start_bot(ready=plan == "A")
    await ann.open_order_card()
    for place in STEPS:
        if place == "step deliver" and not written:
            # Whether Telegram has the message is unknown here:
            # test_kill_between_telegrams_answer_and_the_journal_write_delivers_at_least_once
            continue
        async with set_breakpoint(environment.db, place) as db_breakpoint:
            if place == STEPS[0]:
                await ann.tap("Create")
            else:
                await bot.start()
            await db_breakpoint.wait_until_reached()
            await bot.kill()
            if not written:
                await db_breakpoint.drop_connection()
    await bot.start()

    (job,) = await environment.wait_for_ended_jobs()
    assert job["state"] == "succeeded"
    await ann.wait_for_text("Done · 1 ⭐")
    assert len(await ann.photo_messages()) == 1, "exactly one result"
    assert environment.replicate.creation_attempts == 1, "the provider was asked once"
    assert await get_balance(environment.db, ann.id) == Balance(99, 0), "charged once"
    assert (await check_ledger(environment.db)).is_consistent
    plans = {row["plan"] for row in await environment.db.fetch("SELECT plan FROM journal")}
    assert plans == {plan}


@pytest.mark.parametrize("written", [True, False], ids=["after the write", "before the write"])
@pytest.mark.parametrize("place", ["accept", "handled"])
async def test_kill_while_accepting_an_order_accepts_it_once(
    environment: Environment, plan: PlanName, place: str, written: bool
) -> None:
    """Telegram sends the tap again: the order is accepted once, whether or not it was committed before."""
    ann = environment.user()
    bot = await environment.start_bot(ready=plan == "A", JOB_LEASE_SECONDS="1")
    await ann.open_order_card()
    async with set_breakpoint(environment.db, place) as db_breakpoint:
        await ann.tap("Create")
        await db_breakpoint.wait_until_reached()
        await bot.kill()
        if not written:
            await db_breakpoint.drop_connection()
    await bot.start()
    (job,) = await environment.wait_for_ended_jobs()
    await ann.wait_for_text("Done · 1 ⭐")
    # A worker may have been killed in the middle of its request, which then is made again: one prediction came of it.
    made = len(environment.replicate.predictions)
    assert (job["state"], made, len(await ann.photo_messages())) == ("succeeded", 1, 1)
    assert await get_balance(environment.db, ann.id) == Balance(99, 0)


async def test_kill_between_telegrams_answer_and_the_journal_write_delivers_at_least_once(
    environment: Environment,
) -> None:
    """Telegram cannot be asked whether a message arrived: the user gets it twice rather than never."""
    await environment.inngest.close()
    ann = environment.user()
    bot = await environment.start_bot(ready=False)
    async with set_breakpoint(environment.db, "step deliver") as db_breakpoint:
        await ann.order_from_menu()
        await db_breakpoint.wait_until_reached()
        await bot.kill()
        await db_breakpoint.drop_connection()
    await bot.start()
    await environment.wait_for_ended_jobs()
    assert 1 <= len(await ann.photo_messages()) <= 2
    assert "delivery may have arrived" in bot.log_tail(), "logged, so that it can be counted"
    assert environment.replicate.creation_attempts == 1
    assert await get_balance(environment.db, ann.id) == Balance(99, 0)


async def test_lost_provider_response_starts_no_second_prediction(environment: Environment) -> None:
    await environment.inngest.close()
    environment.replicate.behaviour.drop_next_responses = 1
    ann = environment.user()
    await environment.start_bot(ready=False)
    await ann.order_from_menu()
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], environment.replicate.creation_attempts) == ("succeeded", 1)


async def test_sigterm_hands_running_jobs_over_within_ten_seconds(environment: Environment) -> None:
    await environment.inngest.close()
    ann, bob = environment.user(), environment.user(1002)
    environment.replicate.behaviour.seconds = 60
    first = await environment.start_bot(ready=False, JOB_LEASE_SECONDS="60")
    await ann.order_from_menu()
    await bob.order_from_menu()
    await ann.wait_for_text("Working on it")
    await bob.wait_for_text("Working on it")
    requested_at = time.monotonic()
    assert await first.terminate() == 0
    assert time.monotonic() - requested_at < 10
    assert "job released" in first.log_tail()
    rows = await environment.db.fetch("SELECT worker_id, claimable_at <= now() AS free FROM jobs")
    assert [(row["worker_id"], row["free"]) for row in rows] == [(None, True)] * 2, (
        "free at once, not after the lease"
    )
    environment.replicate.behaviour.seconds = 0
    for prediction in environment.replicate.predictions:
        prediction.seconds = 0
    await environment.start_bot(ready=False)
    jobs = await environment.wait_for_ended_jobs(2)
    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    assert environment.replicate.creation_attempts == 2


async def test_inngest_run_lost_midway_is_taken_over_by_plan_b(environment: Environment) -> None:
    """Inngest loses everything during a run: Plan B continues from the journal."""
    environment.replicate.behaviour.seconds = 3
    ann = environment.user()
    await environment.start_bot()
    await ann.order_from_menu()
    await ann.wait_for_text("Working on it")
    await environment.inngest.close()
    (job,) = await environment.wait_for_ended_jobs()
    assert (job["state"], job["plan"]) == ("succeeded", "B")
    assert environment.replicate.creation_attempts == 1
    plans = [row["plan"] for row in await environment.db.fetch("SELECT plan FROM journal ORDER BY started_at")]
    assert plans == sorted(plans), "started on A, ended on B"
    assert {"A", "B"} == set(plans)
