"""Steps on Plan B against a real journal: done once, tried again, recovered, given up, or taken away."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import stamina

from providers.protocols import ErrorKind, ProviderError
from services.core.errors import (
    Failure,
    InvalidRequest,
    LeaseLost,
    PermanentFailure,
    TransientFailure,
    Unavailable,
)
from services.durable.pubsub import PubSub
from services.durable.steps import MAX_RETRIES, DirectSteps
from storage.jobs.jobs import Job, claim_job, claim_next_job
from storage.jobs.journal import read_journal, start_step
from storage.pool import Pool
from tests.support.environments.environment import wait_until
from tests.support.test_data.factories import add_job, add_user


@pytest.fixture(autouse=True)
def no_retry_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of tries, with next to nothing between them where nobody says how long."""
    real = stamina.retry_context

    def quick(**settings: Any) -> Any:
        return real(**settings | {"wait_initial": 0.01, "wait_max": 0.02, "wait_jitter": 0.0})

    monkeypatch.setattr(stamina, "retry_context", quick)


@pytest.fixture
async def job(db: Pool) -> Job:
    """A job that this runner holds."""
    await add_user(db)
    job = await claim_job(db, (await add_job(db)).id, "me", "B", seconds=30)
    assert job
    return job


@pytest.fixture
async def steps(db: Pool, job: Job) -> DirectSteps:
    return await next_worker(db, job)


async def next_worker(db: Pool, job: Job) -> DirectSteps:
    """The steps of a runner that knows of the job what the journal says."""
    return DirectSteps(db, job, await read_journal(db, job.id), PubSub())


async def taken_over(db: Pool, job: Job) -> Job:
    await db.execute("UPDATE jobs SET claimable_at = now() - interval '1 second' WHERE id = $1", job.id)
    taken = await claim_next_job(db, "another", seconds=0.1, per_user_limit=2, takeover_services=[])
    assert taken
    return taken


class FlakyWork:
    """A piece of work that ends as told, once for each time it is done."""

    def __init__(self, *ends: Any) -> None:
        self._ends = ends
        self.done = 0

    async def __call__(self) -> Any:
        end = self._ends[min(self.done, len(self._ends) - 1)]
        self.done += 1
        if isinstance(end, Exception):
            raise end
        return end


class Reconcile:
    def __init__(self, found: Any) -> None:
        self.found = found
        self.asked: list[datetime] = []

    async def __call__(self, begun: datetime) -> Any:
        self.asked.append(begun)
        return self.found


# ---------------------------------------------------------------- once


@pytest.mark.parametrize("value", [{"id": "p1", "n": [1, None, "ü"]}, "text", 7, None, [], ""])
async def test_a_step_in_the_journal_never_runs_again(db: Pool, job: Job, steps: DirectSteps, value: Any) -> None:
    work = FlakyWork(value)
    assert await steps.run("s", work) == value
    assert await steps.run("s", work) == value
    assert await (await next_worker(db, job)).run("s", work) == value
    taken = await taken_over(db, job)
    assert await (await next_worker(db, taken)).run("s", work) == value
    assert work.done == 1


async def test_a_recorded_failure_is_raised_again_and_not_tried_again(
    db: Pool, job: Job, steps: DirectSteps
) -> None:
    work = FlakyWork(InvalidRequest("input.too_long", detail="for the log", length=7, limit=5))
    for number in range(3):
        with pytest.raises(InvalidRequest) as caught:
            await (steps if number < 2 else await next_worker(db, job)).run("s", work)
        failure = caught.value
        assert (failure.key, failure.params) == ("input.too_long", {"length": 7, "limit": 5})
    assert work.done == 1


async def test_time_passes_once(db: Pool, job: Job, steps: DirectSteps, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def pause(_: Any, step: str, seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(DirectSteps, "_sleep", pause)
    await steps.sleep("pause", 9)
    await steps.sleep("pause", 9)
    await (await next_worker(db, job)).sleep("pause", 9)
    assert slept == [9]


async def test_a_wait_ends_by_its_signal_once(db: Pool, job: Job) -> None:
    signals = PubSub()
    steps = DirectSteps(db, job, await read_journal(db, job.id), signals)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(steps.wait("w", "p1", 60))
        while not waiting.done():
            signals.dispatch("another")
            signals.dispatch("p1")
            await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await steps.wait("w", "p1", 60)
        await (await next_worker(db, job)).wait("w", "p1", 60)


async def test_a_wait_ends_by_itself_where_nobody_gives_the_signal(steps: DirectSteps) -> None:
    async with asyncio.timeout(5):
        await steps.wait("w", "p1", 0.02)


# ---------------------------------------------------------------- tried again


async def test_what_may_pass_is_tried_again(steps: DirectSteps) -> None:
    work = FlakyWork(
        TransientFailure("failure.busy"), ProviderError(ErrorKind.OVERLOADED, "busy"), ValueError("a bug"), "done"
    )
    assert await steps.run("s", work) == "done"
    assert work.done == 4


async def test_after_the_last_try_the_failure_is_stored(db: Pool, job: Job, steps: DirectSteps) -> None:
    work = FlakyWork(ProviderError(ErrorKind.OVERLOADED, "busy"))
    with pytest.raises(TransientFailure) as caught:
        await steps.run("s", work)
    assert caught.value.key == "failure.busy"
    assert work.done == MAX_RETRIES + 1
    with pytest.raises(TransientFailure):
        await (await next_worker(db, job)).run("s", work)
    assert work.done == MAX_RETRIES + 1


@pytest.mark.parametrize(
    ("error", "kind", "key"),
    [
        (InvalidRequest("failure.bad_input"), InvalidRequest, "failure.bad_input"),
        (ProviderError(ErrorKind.MODERATION, "x"), InvalidRequest, "failure.moderation"),
        (ProviderError(ErrorKind.QUOTA, "x"), PermanentFailure, "failure.provider"),
        (ProviderError(ErrorKind.NOT_FOUND, "x"), PermanentFailure, "failure.provider"),
        (ProviderError(ErrorKind.FAILED, "x"), PermanentFailure, "failure.provider"),
    ],
)
async def test_what_will_not_change_is_not_tried_again(
    steps: DirectSteps, error: Exception, kind: type[Failure], key: str
) -> None:
    work = FlakyWork(error)
    with pytest.raises(kind) as caught:
        await steps.run("s", work)
    assert caught.value.key == key
    assert work.done == 1


async def test_the_time_that_was_asked_for_is_waited_for(steps: DirectSteps) -> None:
    work = FlakyWork(ProviderError(ErrorKind.RATE_LIMITED, "slow down", retry_after=0.3), "done")
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await steps.run("s", work) == "done"
    assert loop.time() - began >= 0.3


async def test_a_patient_step_outlasts_an_outside_that_is_away(steps: DirectSteps) -> None:
    work = FlakyWork(*[Unavailable("failure.telegram")] * (MAX_RETRIES + 4), "delivered")
    assert await steps.run("deliver", work, retry_outages=True) == "delivered"
    assert work.done == MAX_RETRIES + 5


async def test_a_patient_step_gives_up_on_what_is_no_absence(steps: DirectSteps) -> None:
    work = FlakyWork(TransientFailure("failure.busy"))
    with pytest.raises(TransientFailure):
        await steps.run("deliver", work, retry_outages=True)
    assert work.done == MAX_RETRIES + 1


async def test_an_impatient_step_does_not_wait_for_ever(steps: DirectSteps) -> None:
    with pytest.raises(TransientFailure):
        await steps.run("s", FlakyWork(Unavailable("failure.telegram")))


# ---------------------------------------------------------------- what must not be asked for twice


async def test_recover_is_not_asked_the_first_time(steps: DirectSteps) -> None:
    recover = Reconcile("found")
    assert await steps.run("start", FlakyWork("fresh"), reconcile=recover) == "fresh"
    assert recover.asked == []


@pytest.mark.parametrize(("found", "done"), [("found", 0), (None, 1)])
async def test_after_a_death_in_the_middle_recover_is_asked_first(
    db: Pool, job: Job, found: str | None, done: int
) -> None:
    begun = await start_step(db, job.id, "start", job.epoch)
    taken = await taken_over(db, job)
    work, recover = FlakyWork("fresh"), Reconcile(found)
    assert await (await next_worker(db, taken)).run("start", work, reconcile=recover) == (found or "fresh")
    assert recover.asked == [begun], "with the time at which it first began"
    assert work.done == done


async def test_after_a_lost_answer_recover_is_asked_before_the_next_try(steps: DirectSteps) -> None:
    before = datetime.now(UTC)
    work, recover = FlakyWork(ProviderError(ErrorKind.TIMED_OUT, "no answer"), "second"), Reconcile("found")
    assert await steps.run("start", work, reconcile=recover) == "found"
    assert work.done == 1
    (begun,) = recover.asked
    assert abs((begun - before).total_seconds()) < 5


async def test_a_recover_that_fails_is_tried_again_and_does_not_let_the_work_run(db: Pool, job: Job) -> None:
    await start_step(db, job.id, "start", job.epoch)
    work, asked = FlakyWork("fresh"), 0

    async def recover(begun: datetime) -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise ProviderError(ErrorKind.OVERLOADED, "the list cannot be read")
        return "found"

    assert await (await next_worker(db, job)).run("start", work, reconcile=recover) == "found"
    assert work.done == 0


# ---------------------------------------------------------------- taken away


@pytest.mark.parametrize("recover", [None, Reconcile("found")], ids=["plain", "with recover"])
async def test_a_runner_that_lost_its_lease_does_not_begin(
    db: Pool, job: Job, steps: DirectSteps, recover: Reconcile | None
) -> None:
    await taken_over(db, job)
    work = FlakyWork("value")
    with pytest.raises(LeaseLost):
        await steps.run("s", work, reconcile=recover)
    assert work.done == 0
    assert await read_journal(db, job.id) == {}


@pytest.mark.parametrize("recover", [None, Reconcile("found")], ids=["plain", "with recover"])
async def test_a_runner_that_loses_its_lease_in_the_middle_writes_nothing(
    db: Pool, job: Job, steps: DirectSteps, recover: Reconcile | None
) -> None:
    async def slow() -> str:
        await taken_over(db, job)
        return "late"

    with pytest.raises(LeaseLost):
        await steps.run("s", slow, reconcile=recover)
    entry = (await read_journal(db, job.id)).get("s")
    assert entry is None or entry.ended_at is None


async def test_a_failure_of_a_runner_that_lost_its_lease_is_not_written_either(
    db: Pool, job: Job, steps: DirectSteps
) -> None:
    async def slow() -> str:
        await taken_over(db, job)
        raise PermanentFailure("failure.provider")

    with pytest.raises(LeaseLost):
        await steps.run("s", slow)
    assert await read_journal(db, job.id) == {}


# ---------------------------------------------------------------- the database goes away


async def while_the_write_waits(
    db: Pool, run: Callable[[], Awaitable[Any]], act: Callable[[int], Awaitable[Any]]
) -> Any:
    """Call `act` with the backend of a step's last write while that is held up by a lock on the journal."""
    blocked = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.TaskGroup() as group, db.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        running = group.create_task(_await(run))
        pid = await wait_until(lambda: db.fetchval(blocked), seconds=5, what="the write waits")
        await act(pid)
    return running.result()


async def _await(run: Callable[[], Awaitable[Any]]) -> Any:
    return await run()


async def test_a_write_whose_connection_breaks_is_made_again_without_the_work(
    db: Pool, job: Job, steps: DirectSteps
) -> None:
    work = FlakyWork("made once")

    async def terminate(pid: int) -> None:
        await db.execute("SELECT pg_terminate_backend($1)", pid)

    assert await while_the_write_waits(db, lambda: steps.run("s", work), terminate) == "made once"
    assert work.done == 1
    assert (await read_journal(db, job.id))["s"].result == {"value": "made once"}


@pytest.mark.parametrize(
    "away",
    [
        ConnectionRefusedError("nobody listens"),
        TimeoutError("no answer"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle"),
        asyncpg.InterfaceError("the pool is closing"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_end_of_a_step_is_written_down_however_the_database_is_away(
    db: Pool, job: Job, steps: DirectSteps, monkeypatch: pytest.MonkeyPatch, away: Exception
) -> None:
    from storage.jobs import journal

    real, tries = journal.finish_step, 0

    async def finish_step(*args: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries <= 5:
            raise away
        return await real(*args)

    monkeypatch.setattr(journal, "finish_step", finish_step)
    work = FlakyWork("made once")
    assert await steps.run("s", work) == "made once"
    assert work.done == 1
    assert (await read_journal(db, job.id))["s"].result == {"value": "made once"}


async def test_a_database_that_is_away_inside_a_step_costs_no_try(steps: DirectSteps) -> None:
    tries = 0

    async def work() -> str:
        nonlocal tries
        tries += 1
        if tries <= MAX_RETRIES + 2:
            raise ConnectionRefusedError("PostgreSQL restarts")
        return "stored"

    assert await steps.run("store", work) == "stored"
