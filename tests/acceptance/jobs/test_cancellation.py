"""Stopping an order: the hold is released, the provider's work cancelled, a late result goes to nobody."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sandbox.inngest.engine.execution import Pace
from sandbox.inngest.server import InngestStand
from services.jobs.expiry import STALE_AFTER
from storage.jobs.jobs import free_stale_jobs
from storage.money.ledger import Balance, check_ledger, get_balance
from storage.pool import Pool
from tests.support.environments.environment import Person, PlanName, Stage, until
from tests.support.environments.offline import OfflineStage, ended_job_of, has_button, journal_has, photos
from tests.support.fake_providers.replicate_server import ReplicateStand
from tests.support.processes.bot_process import Forge

STOP = "Stop"
CANCELLED = "Cancelled; nothing was charged"
TOO_LATE = "It is done already, or on its way to you."


class SlowToCancel(ReplicateStand):
    """Answers no cancel for as long as `hold_cancels` is set, nor does it carry it out."""

    hold_cancels = False
    cancels = 0

    async def _cancel(self, request: web.Request) -> web.Response:
        self.cancels += 1
        if self.hold_cancels:
            await self._closing.wait()
        return await super()._cancel(request)


@pytest.fixture
async def stage(db: Pool, dsn: str, tmp_path: Path, forge: Forge) -> AsyncIterator[Stage]:
    stage = Stage(db, dsn, tmp_path, forge, replicate=SlowToCancel(seconds=0.0, outcome="never"))
    await stage.open()
    yield stage
    await stage.close()


@pytest.fixture(params=["A", "B"])
async def plan(request: pytest.FixtureRequest, stage: Stage) -> PlanName:
    name: PlanName = request.param
    if name == "B":
        await stage.inngest.close()
    return name


async def running(stage: Stage, person: Person, prompt: str = "a lighthouse") -> dict[str, Any]:
    """An order whose work the provider has begun; the job."""
    await person.order(prompt)
    await person.sees("Working on it")

    async def look() -> dict[str, Any] | None:
        mine = [job for job in await stage.jobs() if job["user_id"] == person.id]
        return mine[-1] if mine else None

    job: dict[str, Any] = await until(look, what="the order is taken")
    await journal_has(stage, job["id"], "start-1", ended=True)
    return job


async def toasts(person: Person) -> list[str]:
    chat = await person.telegram.call("GET", f"/sim/chat/{person.id}")
    return [event["text"] for event in chat["events"] if event["text"]]


async def is_toasted(person: Person, text: str) -> None:
    async def look() -> bool:
        return text in await toasts(person)

    await until(look, what=f"a toast says {text!r}")


async def nothing_happened(stage: Stage, person: Person, stars: int = 100) -> None:
    """The order is gone without a trace on the balance, and the message that showed it says so."""
    await ended_job_of(stage, person.id)
    jobs = [job for job in await stage.jobs() if job["user_id"] == person.id]
    assert [(job["state"], job["result"]) for job in jobs] == [("cancelled", None)]
    ended = await person.sees(CANCELLED)
    assert not ended["keyboard"], "nothing is left to tap"
    assert await get_balance(stage.db, person.id) == Balance(stars, 0)
    assert (await check_ledger(stage.db)).right
    assert not await person.photos()


async def test_stopped_while_it_runs(stage: Stage, plan: PlanName) -> None:
    await stage.start_bot(ready=plan == "A")
    ann = stage.person()
    job = await running(stage, ann)
    assert await get_balance(stage.db, ann.id) == Balance(99, 1)
    assert job["plan"] == plan
    await ann.tap(STOP)
    await nothing_happened(stage, ann)
    (made,) = stage.replicate.predictions
    assert made.status() == "canceled", "the provider's work was cancelled too"
    assert "Stopping; nothing will be charged" in await toasts(ann)
    await ann.say("/history")
    history = await ann.sees("Your last orders")
    assert "✖️" in str(history["text"])
    assert "0 ⭐" in str(history["text"])


async def test_stopped_while_it_runs_offline(db: Pool, dsn: str, tmp_path: Path, forge: Forge) -> None:
    stage = OfflineStage(db, dsn, tmp_path, forge)
    await stage.open()
    try:
        for number, plan in enumerate("AB"):
            if plan == "B":
                await stage.inngest.close()
            bot = await stage.start_bot(ready=plan == "A")
            ann = stage.person(1001 + number)
            assert (await running(stage, ann, "a lighthouse #never"))["plan"] == plan
            await ann.tap(STOP)
            await ann.sees(CANCELLED)
            assert (await stage.ended_jobs(number + 1))[-1]["state"] == "cancelled"
            assert await get_balance(stage.db, ann.id) == Balance(2000, 0)
            asked = [record for record, _ in stage.offline_work("image")]
            assert len(asked) == number + 1
            assert asked[-1].cancelled_at is not None
            await bot.kill()
        assert (await check_ledger(stage.db)).right
    finally:
        await stage.close()


async def test_stopped_while_it_waits_for_a_free_place(stage: Stage) -> None:
    await stage.inngest.close()
    await stage.start_bot(ready=False, PLAN_B_SLOTS="1")
    ann, bob, cyd = (stage.person(number) for number in (1001, 1002, 1003))
    await running(stage, ann)
    await bob.order()
    await bob.sees("Place in the queue: 1")
    await cyd.order()
    await cyd.sees("Place in the queue: 2")
    await bob.tap(STOP)
    await nothing_happened(stage, bob)
    assert stage.replicate.asked == 1, "nobody was asked to do what was stopped before it began"

    waiting = await cyd.sees("Place in the queue: 1")
    assert has_button(waiting, STOP), "who moves up in the queue can still stop"
    await ann.tap(STOP)
    await nothing_happened(stage, ann)
    await cyd.sees("Working on it")
    assert [job["state"] for job in await stage.jobs()] == ["cancelled", "cancelled", "running"]


async def test_stopped_while_it_waits_for_inngest(stage: Stage) -> None:
    """An admin allows no other plan, and Inngest is away: the order waits, is stopped, and never begins."""
    await stage.set_mode("a")
    await stage.inngest.close()
    await stage.start_bot(ready=False)
    ann = stage.person()
    await ann.order()
    await ann.sees("The workshop is away for a moment")
    await ann.tap(STOP)
    await nothing_happened(stage, ann)
    stage.inngest = InngestStand(pace=Pace(retry_delays=(0.2,)))
    await stage.inngest.start()
    stage.settings["INNGEST_BASE_URL"] = stage.inngest.url
    await stage.bots[0].kill()
    await stage.start_bot()

    async def outbox_is_empty() -> bool:
        return not await stage.db.fetchval("SELECT count(*) FROM outbox")

    await until(outbox_is_empty, what="nothing waits for Inngest any more")
    await nothing_happened(stage, ann)
    assert stage.replicate.asked == 0


async def test_too_late_once_the_result_is_on_its_way(stage: Stage, plan: PlanName) -> None:
    await stage.start_bot(ready=plan == "A")
    stage.replicate.knobs.outcome = "succeed"
    stage.replicate.knobs.seconds = 1.5
    ann = stage.person()
    job = await running(stage, ann)
    await stage.telegram.fault(method="sendPhoto", hang=1.0)
    await journal_has(stage, job["id"], "deliver")
    await ann.tap(STOP)
    await is_toasted(ann, TOO_LATE)
    await ann.sees("Done · 1 ⭐")
    (job,) = await stage.ended_jobs()
    assert job["state"] == "succeeded"
    assert len(await ann.photos()) == 1
    assert await get_balance(stage.db, ann.id) == Balance(99, 0)
    assert (await check_ledger(stage.db)).right


async def test_nobody_stops_what_is_another_persons(stage: Stage) -> None:
    await stage.inngest.close()
    await stage.start_bot(ready=False)
    ann, bob = stage.person(), stage.person(1002)
    await running(stage, ann)
    progress = await ann.can_tap(STOP)
    (stop,) = (button for row in progress["keyboard"] for button in row if STOP in button["text"])
    await bob.say("/start")
    greeting = await bob.sees("Hello")
    await stage.telegram.call(
        "POST",
        "/sim/callback",
        {"user_id": bob.id, "data": stop["callback_data"], "message_id": greeting["message_id"]},
    )
    await is_toasted(bob, "This button is no longer in use. /menu shows what can be made.")
    (job,) = await stage.jobs()
    assert (job["state"], job["cancel_requested"]) == ("running", False)
    assert stage.replicate.predictions[0].status() != "canceled"


async def test_tapped_three_times_it_is_stopped_once(stage: Stage, plan: PlanName) -> None:
    await stage.start_bot(ready=plan == "A")
    ann = stage.person()
    await running(stage, ann)
    await ann.tap(STOP, times=3)
    await nothing_happened(stage, ann)

    async def answered() -> list[str] | None:
        told = await toasts(ann)
        return told if len(told) == 3 else None

    told = await until(answered, what="each tap is answered")
    assert told[0] == "Stopping; nothing will be charged"
    assert TOO_LATE not in told, "nothing is on its way to who has stopped it"
    rows = await stage.db.fetch(
        "SELECT kind FROM ledger_transactions WHERE kind IN ('hold', 'release', 'capture')"
    )
    assert sorted(row["kind"] for row in rows) == ["hold", "release"]


async def test_a_late_result_reaches_nobody(stage: Stage, plan: PlanName) -> None:
    """The provider refuses to cancel and finishes the work all the same."""
    await stage.start_bot(ready=plan == "A")
    stage.replicate.knobs.outcome = "succeed"
    stage.replicate.knobs.seconds = 3.0
    stage.replicate.fault(500, path="/cancel", times=0)
    ann = stage.person()
    await running(stage, ann)
    await ann.tap(STOP)
    await nothing_happened(stage, ann)
    (made,) = stage.replicate.predictions
    assert made.status() in {"starting", "processing"}, "it goes on at the provider"

    async def finished() -> bool:
        return made.status() == "succeeded"

    await until(finished, what="the work is finished after all")
    polls = len(stage.replicate.requests)
    await ann.say("/balance")
    await ann.sees("You have 100 Stars")
    soon = made.created_at + timedelta(seconds=6)  # whoever still watched would look every 3 s at least

    async def long_enough() -> bool:
        return datetime.now(UTC) > soon

    await until(long_enough)
    assert len(stage.replicate.requests) == polls, "nobody looks at it any more"
    await nothing_happened(stage, ann)


async def test_killed_right_after_stop_was_asked(stage: Stage, plan: PlanName) -> None:
    """The stop is committed, its cancel at the provider hangs, kill -9: the next process ends it as cancelled."""
    assert isinstance(stage.replicate, SlowToCancel)
    bot = await stage.start_bot(ready=plan == "A")
    ann = stage.person()
    await running(stage, ann)
    stage.replicate.hold_cancels = True
    await ann.tap(STOP)

    async def asked() -> bool:
        assert isinstance(stage.replicate, SlowToCancel)
        return stage.replicate.cancels > 0

    await until(asked, what="the provider is asked to cancel")
    await bot.kill()
    (job,) = await stage.jobs()
    assert (job["state"], job["cancel_requested"]) == ("running", True)
    assert await get_balance(stage.db, ann.id) == Balance(99, 1)
    stage.replicate.hold_cancels = False
    await bot.start()
    await nothing_happened(stage, ann)
    (made,) = stage.replicate.predictions
    assert made.status() == "canceled"
    assert stage.replicate.asked == 1


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "Telegram answers 500"])
async def test_the_last_word_on_the_order_is_said_in_the_end(stage: Stage, killed: bool) -> None:
    """The order is cancelled, and its message does not yet say so when the bot dies, or when Telegram stumbles."""
    await stage.inngest.close()
    bot = await stage.start_bot(ready=False)
    ann = stage.person()
    await running(stage, ann)
    await stage.telegram.fault(method="editMessageText", hang=2.0 if killed else 0.0, code=500)
    await ann.tap(STOP)
    await stage.ended_jobs()
    if killed:
        await bot.kill()
        await bot.start()
    await ann.sees(CANCELLED, seconds=8)
    await nothing_happened(stage, ann)


async def test_a_stopped_training_is_cancelled_at_its_provider(stage: Stage, plan: PlanName) -> None:
    """Trainings are cancelled by another address than predictions."""
    stage.settings["WELCOME_CREDITS"] = "2000"
    await stage.start_bot(ready=plan == "A")
    ann = OfflineStage.guest(stage, 1001)  # type: ignore[arg-type]
    await ann.train("🧬 Train your model", photos())
    await ann.taps("Create · 250 ⭐")
    (job,) = await stage.jobs()
    await journal_has(stage, job["id"], "start-1", ended=True)
    await ann.tap(STOP)
    await nothing_happened(stage, ann, stars=2000)
    (made,) = stage.replicate.predictions
    assert made.destination is not None
    assert made.status() == "canceled"
    assert await stage.db.fetchval("SELECT count(*) FROM own_models") == 0


async def test_inngest_lets_go_of_a_run_whose_order_is_stopped(stage: Stage) -> None:
    """`job/cancelled` is sent, and Inngest cancels the run that sleeps: it never calls us for it again."""
    await stage.start_bot()
    ann = stage.person()
    await running(stage, ann)
    (run,) = stage.inngest.engine.runs.values()
    await ann.tap(STOP)
    await ann.sees(CANCELLED)

    async def is_cancelled() -> bool:
        return run.status == "Cancelled"

    await until(is_cancelled, what="Inngest has cancelled the run")


async def test_an_order_that_waited_a_whole_day_ends_and_costs_nothing(stage: Stage) -> None:
    """An admin allows plan A alone, and Inngest does not come back."""
    await stage.set_mode("a")
    await stage.inngest.close()
    await stage.start_bot(ready=False)
    ann = stage.person()
    await ann.order()
    await ann.sees("The workshop is away for a moment")
    assert await free_stale_jobs(stage.db, seconds=STALE_AFTER.total_seconds()) == 0
    await stage.db.execute("UPDATE jobs SET created_at = created_at - interval '25 hours'")
    assert await free_stale_jobs(stage.db, seconds=STALE_AFTER.total_seconds()) == 1
    await ann.sees(ann.said("failure.expired"))
    (job,) = await stage.ended_jobs()
    assert (job["state"], job["failure"]) == ("failed", "failure.expired")
    assert await get_balance(stage.db, 1001) == Balance(100, 0)
    assert stage.replicate.asked == 0
    assert (await check_ledger(stage.db)).right
