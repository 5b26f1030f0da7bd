"""kill -9 at every step boundary, on both plans: one result, one charge, the provider asked once."""

import time

import pytest

from sandbox.inngest.engine.execution import Pace
from sandbox.inngest.server import InngestStand
from storage.money.ledger import Balance, check_ledger, get_balance
from tests.support.environments.environment import PlanName, Stage
from tests.support.processes.database_breakpoint import breakpoint_at

STEPS = ["step moderate", "step start-1", "step pause-1", "step poll-1", "step deliver", "end"]


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, stage: Stage) -> PlanName:
    """Plan A with a lease so long that the run comes back to its job before Plan B may take it."""
    name: PlanName = request.param
    await stage.inngest.close()
    if name == "A":
        stage.inngest = InngestStand(pace=Pace(retry_delays=(0.7,)))
        await stage.inngest.start()
        stage.settings |= {"INNGEST_BASE_URL": stage.inngest.url, "JOB_LEASE_SECONDS": "20"}
    return name


@pytest.mark.parametrize("written", [True, False], ids=["after the write", "before the write"])
async def test_killed_at_every_boundary_of_one_job(stage: Stage, plan: PlanName, written: bool) -> None:
    ann = stage.person()
    bot = await stage.start_bot(ready=plan == "A")
    await ann.open_card()
    for place in STEPS:
        if place == "step deliver" and not written:
            continue  # whether Telegram has it cannot be known: test_killed_between_telegrams_answer_and_our_write
        async with breakpoint_at(stage.db, place) as stopped:
            if place == STEPS[0]:
                await ann.tap("Create")
            else:
                await bot.start()
            await stopped.reached()
            await bot.kill()
            if not written:
                await stopped.lose_write()
    await bot.start()

    (job,) = await stage.ended_jobs()
    assert job["state"] == "succeeded"
    await ann.sees("Done · 1 ⭐")
    assert len(await ann.photos()) == 1, "exactly one result"
    assert stage.replicate.asked == 1, "the provider was asked once"
    assert await get_balance(stage.db, ann.id) == Balance(99, 0), "charged once"
    assert (await check_ledger(stage.db)).right
    plans = {row["plan"] for row in await stage.db.fetch("SELECT plan FROM journal")}
    assert plans == {plan}


@pytest.mark.parametrize("written", [True, False], ids=["after the write", "before the write"])
@pytest.mark.parametrize("place", ["accept", "handled"])
async def test_killed_while_an_order_is_taken(stage: Stage, plan: PlanName, place: str, written: bool) -> None:
    """Telegram brings the tap again: the order is taken once, whether or not it was committed before."""
    ann = stage.person()
    bot = await stage.start_bot(ready=plan == "A", JOB_LEASE_SECONDS="1")
    await ann.open_card()
    async with breakpoint_at(stage.db, place) as stopped:
        await ann.tap("Create")
        await stopped.reached()
        await bot.kill()
        if not written:
            await stopped.lose_write()
    await bot.start()
    (job,) = await stage.ended_jobs()
    await ann.sees("Done · 1 ⭐")
    assert (job["state"], stage.replicate.asked, len(await ann.photos())) == ("succeeded", 1, 1)
    assert await get_balance(stage.db, ann.id) == Balance(99, 0)


async def test_killed_between_telegrams_answer_and_our_write(stage: Stage) -> None:
    """Telegram cannot be asked whether a message arrived: the person rather gets it twice than never."""
    await stage.inngest.close()
    ann = stage.person()
    bot = await stage.start_bot(ready=False)
    async with breakpoint_at(stage.db, "step deliver") as stopped:
        await ann.order()
        await stopped.reached()
        await bot.kill()
        await stopped.lose_write()
    await bot.start()
    await stage.ended_jobs()
    assert 1 <= len(await ann.photos()) <= 2
    assert "its end is unknown" in bot.tail(), "said in the log, to be counted"
    assert stage.replicate.asked == 1
    assert await get_balance(stage.db, ann.id) == Balance(99, 0)


async def test_a_lost_answer_of_the_provider_does_not_make_a_second_picture(stage: Stage) -> None:
    await stage.inngest.close()
    stage.replicate.knobs.lose_next_answer = 1
    ann = stage.person()
    await stage.start_bot(ready=False)
    await ann.order()
    (job,) = await stage.ended_jobs()
    assert (job["state"], stage.replicate.asked) == ("succeeded", 1)


async def test_sigterm_finishes_or_hands_over_within_ten_seconds(stage: Stage) -> None:
    await stage.inngest.close()
    ann, bob = stage.person(), stage.person(1002)
    stage.replicate.knobs.seconds = 60
    first = await stage.start_bot(ready=False, JOB_LEASE_SECONDS="60")
    await ann.order()
    await bob.order()
    await ann.sees("Working on it")
    await bob.sees("Working on it")
    asked = time.monotonic()
    assert await first.terminate() == 0
    assert time.monotonic() - asked < 10
    assert "handed over" in first.tail()
    rows = await stage.db.fetch("SELECT holder, lease_until <= now() AS free FROM jobs")
    assert [(row["holder"], row["free"]) for row in rows] == [(None, True)] * 2, (
        "free at once, not after the lease"
    )
    stage.replicate.knobs.seconds = 0
    for prediction in stage.replicate.predictions:
        prediction.seconds = 0
    await stage.start_bot(ready=False)
    jobs = await stage.ended_jobs(2)
    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    assert stage.replicate.asked == 2


async def test_a_run_of_inngest_that_dies_for_good_is_taken_over(stage: Stage) -> None:
    """Inngest forgets everything in the middle of a run: Plan B goes on from the journal."""
    stage.replicate.knobs.seconds = 3
    ann = stage.person()
    await stage.start_bot()
    await ann.order()
    await ann.sees("Working on it")
    await stage.inngest.close()
    (job,) = await stage.ended_jobs()
    assert (job["state"], job["plan"]) == ("succeeded", "B")
    assert stage.replicate.asked == 1
    plans = [row["plan"] for row in await stage.db.fetch("SELECT plan FROM journal ORDER BY begun_at")]
    assert plans == sorted(plans), "begun on A, ended on B"
    assert {"A", "B"} == set(plans)
