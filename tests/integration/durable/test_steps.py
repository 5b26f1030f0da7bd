"""Steps on Plan B against a real journal: run once, retried, reconciled, given up, or taken over."""

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
    """Keep the number of attempts, but wait next to nothing between them unless a time is given."""
    real = stamina.retry_context

    def quick(**settings: Any) -> Any:
        return real(**settings | {"wait_initial": 0.01, "wait_max": 0.02, "wait_jitter": 0.0})

    monkeypatch.setattr(stamina, "retry_context", quick)


@pytest.fixture
async def job(db: Pool) -> Job:
    """A job that this worker holds."""
    await add_user(db)
    job = await claim_job(db, (await add_job(db)).id, "me", "B", seconds=30)
    assert job
    return job


@pytest.fixture
async def steps(db: Pool, job: Job) -> DirectSteps:
    return await next_worker(db, job)


async def next_worker(db: Pool, job: Job) -> DirectSteps:
    """The steps of a worker that knows only what the journal says about the job."""
    return DirectSteps(db, job, await read_journal(db, job.id), PubSub())


async def take_over(db: Pool, job: Job) -> Job:
    await db.execute("UPDATE jobs SET claimable_at = now() - interval '1 second' WHERE id = $1", job.id)
    taken = await claim_next_job(db, "another", seconds=0.1, per_user_limit=2, takeover_services=[])
    assert taken
    return taken


async def elapsed(work: Awaitable[None]) -> float:
    """Seconds that it takes."""
    started_at = asyncio.get_running_loop().time()
    await work
    return asyncio.get_running_loop().time() - started_at


class FlakyWork:
    """Work whose n-th run ends with the n-th of `ends`, and every later run with the last."""

    def __init__(self, *ends: Any) -> None:
        self._ends = ends
        self.done = 0

    async def __call__(self) -> Any:
        end = self._ends[min(self.done, len(self._ends) - 1)]
        self.done += 1
        if isinstance(end, Exception):
            raise end
        return end


class FakeReconcile:
    def __init__(self, found: Any) -> None:
        self.found = found
        self.calls: list[datetime] = []

    async def __call__(self, started_at: datetime) -> Any:
        self.calls.append(started_at)
        return self.found


# ---------------------------------------------------------------- run once


@pytest.mark.parametrize("value", [{"id": "p1", "n": [1, None, "ü"]}, "text", 7, None, [], ""])
async def test_journaled_step_never_runs_again(db: Pool, job: Job, steps: DirectSteps, value: Any) -> None:
    work = FlakyWork(value)
    assert await steps.run("s", work) == value
    assert await steps.run("s", work) == value
    assert await (await next_worker(db, job)).run("s", work) == value
    taken = await take_over(db, job)
    assert await (await next_worker(db, taken)).run("s", work) == value
    assert work.done == 1


async def test_journaled_failure_is_raised_again_and_not_retried(db: Pool, job: Job, steps: DirectSteps) -> None:
    work = FlakyWork(InvalidRequest("input.too_long", detail="for the log", length=7, limit=5))
    for number in range(3):
        with pytest.raises(InvalidRequest) as caught:
            await (steps if number < 2 else await next_worker(db, job)).run("s", work)
        failure = caught.value
        assert (failure.key, failure.params) == ("input.too_long", {"length": 7, "limit": 5})
    assert work.done == 1


async def test_sleep_that_ended_is_not_repeated(db: Pool, job: Job, steps: DirectSteps) -> None:
    async with asyncio.timeout(5):
        await steps.sleep("pause", 0.02)
        await steps.sleep("pause", 3600)
        await (await next_worker(db, job)).sleep("pause", 3600)


async def test_sleep_takes_its_time(steps: DirectSteps) -> None:
    assert await elapsed(steps.sleep("pause", 0.3)) >= 0.3


async def test_sleep_under_another_worker_takes_what_is_left(db: Pool, job: Job, steps: DirectSteps) -> None:
    """A pause begins when the last step ended, whoever has the job since."""
    await steps.run("s", FlakyWork("done"))
    await db.execute("UPDATE journal SET ended_at = now() - interval '1 hour'")
    async with asyncio.timeout(5):
        await (await next_worker(db, job)).sleep("pause", 3600)


async def test_wait_ends_with_its_topic_and_is_not_repeated(db: Pool, job: Job) -> None:
    pubsub = PubSub()
    steps = DirectSteps(db, job, await read_journal(db, job.id), pubsub)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(steps.wait("w", "p1", 3600))
        while not waiting.done():
            pubsub.dispatch("p1")
            await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await steps.wait("w", "p1", 3600)
        await (await next_worker(db, job)).wait("w", "p1", 3600)


async def test_wait_without_its_topic_ends_after_its_timeout(db: Pool, job: Job) -> None:
    pubsub = PubSub()
    steps = DirectSteps(db, job, await read_journal(db, job.id), pubsub)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(elapsed(steps.wait("w", "p1", 0.3)))
        while not waiting.done():
            pubsub.dispatch("another")
            await asyncio.sleep(0.01)
    assert waiting.result() >= 0.3
    assert (await read_journal(db, job.id))["w"].result == {"value": None}


# ---------------------------------------------------------------- retried


async def test_transient_failure_is_retried(steps: DirectSteps) -> None:
    work = FlakyWork(
        TransientFailure("failure.busy"), ProviderError(ErrorKind.OVERLOADED, "busy"), ValueError("a bug"), "done"
    )
    assert await steps.run("s", work) == "done"
    assert work.done == 4


async def test_failure_after_the_last_retry_is_journaled(db: Pool, job: Job, steps: DirectSteps) -> None:
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
async def test_permanent_failure_is_not_retried(
    steps: DirectSteps, error: Exception, kind: type[Failure], key: str
) -> None:
    work = FlakyWork(error)
    with pytest.raises(kind) as caught:
        await steps.run("s", work)
    assert caught.value.key == key
    assert work.done == 1


async def test_retry_waits_as_long_as_the_provider_asks(steps: DirectSteps) -> None:
    work = FlakyWork(ProviderError(ErrorKind.RATE_LIMITED, "slow down", retry_after=0.3), "done")
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await steps.run("s", work) == "done"
    assert loop.time() - started >= 0.3


async def test_step_with_retry_outages_outlasts_a_long_outage(steps: DirectSteps) -> None:
    work = FlakyWork(*[Unavailable("failure.telegram")] * (MAX_RETRIES + 4), "delivered")
    assert await steps.run("deliver", work, retry_outages=True) == "delivered"
    assert work.done == MAX_RETRIES + 5


async def test_step_with_retry_outages_gives_up_on_other_failures(steps: DirectSteps) -> None:
    work = FlakyWork(TransientFailure("failure.busy"))
    with pytest.raises(TransientFailure):
        await steps.run("deliver", work, retry_outages=True)
    assert work.done == MAX_RETRIES + 1


async def test_step_without_retry_outages_gives_up_in_an_outage(steps: DirectSteps) -> None:
    work = FlakyWork(Unavailable("failure.telegram"))
    with pytest.raises(TransientFailure) as caught:
        await steps.run("s", work)
    assert caught.value.key == "failure.telegram"
    assert work.done == MAX_RETRIES + 1


# ---------------------------------------------------------------- reconciled


async def test_reconcile_is_not_called_on_the_first_attempt(steps: DirectSteps) -> None:
    reconcile = FakeReconcile("found")
    assert await steps.run("start", FlakyWork("fresh"), reconcile=reconcile) == "fresh"
    assert reconcile.calls == []


@pytest.mark.parametrize(("found", "done"), [("found", 0), (None, 1)])
async def test_reconcile_after_a_crash_inside_the_step_is_called_first(
    db: Pool, job: Job, found: str | None, done: int
) -> None:
    started_at = await start_step(db, job.id, "start", job.epoch)
    taken = await take_over(db, job)
    work, reconcile = FlakyWork("fresh"), FakeReconcile(found)
    assert await (await next_worker(db, taken)).run("start", work, reconcile=reconcile) == (found or "fresh")
    assert reconcile.calls == [started_at], "with the time at which the step first started"
    assert work.done == done


async def test_reconcile_after_a_lost_response_is_called_before_the_retry(steps: DirectSteps) -> None:
    before = datetime.now(UTC)
    work, reconcile = FlakyWork(ProviderError(ErrorKind.TIMED_OUT, "no answer"), "second"), FakeReconcile("found")
    assert await steps.run("start", work, reconcile=reconcile) == "found"
    assert work.done == 1
    (started_at,) = reconcile.calls
    assert abs((started_at - before).total_seconds()) < 5


async def test_reconcile_that_fails_is_retried_and_the_work_does_not_run(db: Pool, job: Job) -> None:
    await start_step(db, job.id, "start", job.epoch)
    work, calls = FlakyWork("fresh"), 0

    async def reconcile(started_at: datetime) -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ProviderError(ErrorKind.OVERLOADED, "the list cannot be read")
        return "found"

    assert await (await next_worker(db, job)).run("start", work, reconcile=reconcile) == "found"
    assert work.done == 0


# ---------------------------------------------------------------- taken over


@pytest.mark.parametrize("reconcile", [None, FakeReconcile("found")], ids=["plain", "with reconcile"])
async def test_step_after_a_lost_lease_does_not_start(
    db: Pool, job: Job, steps: DirectSteps, reconcile: FakeReconcile | None
) -> None:
    await take_over(db, job)
    work = FlakyWork("value")
    with pytest.raises(LeaseLost):
        await steps.run("s", work, reconcile=reconcile)
    assert work.done == 0
    assert await read_journal(db, job.id) == {}


@pytest.mark.parametrize("reconcile", [None, FakeReconcile("found")], ids=["plain", "with reconcile"])
async def test_result_after_a_lost_lease_is_not_written(
    db: Pool, job: Job, steps: DirectSteps, reconcile: FakeReconcile | None
) -> None:
    async def slow() -> str:
        await take_over(db, job)
        return "late"

    with pytest.raises(LeaseLost):
        await steps.run("s", slow, reconcile=reconcile)
    entry = (await read_journal(db, job.id)).get("s")
    assert entry is None or entry.ended_at is None


async def test_failure_after_a_lost_lease_is_not_written(db: Pool, job: Job, steps: DirectSteps) -> None:
    async def slow() -> str:
        await take_over(db, job)
        raise PermanentFailure("failure.provider")

    with pytest.raises(LeaseLost):
        await steps.run("s", slow)
    assert await read_journal(db, job.id) == {}


# ---------------------------------------------------------------- database outages


async def act_while_the_write_waits(
    db: Pool, run: Callable[[], Awaitable[Any]], act: Callable[[int], Awaitable[Any]]
) -> Any:
    """Call `act` with the backend pid of a step's last write while a lock on the journal blocks it."""
    blocked = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.TaskGroup() as group, db.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        running = group.create_task(_await(run))
        pid = await wait_until(lambda: db.fetchval(blocked), seconds=5, what="the write waits")
        await act(pid)
    return running.result()


async def _await(run: Callable[[], Awaitable[Any]]) -> Any:
    return await run()


async def test_write_with_a_broken_connection_is_repeated_without_the_work(
    db: Pool, job: Job, steps: DirectSteps
) -> None:
    work = FlakyWork("made once")

    async def terminate(pid: int) -> None:
        await db.execute("SELECT pg_terminate_backend($1)", pid)

    assert await act_while_the_write_waits(db, lambda: steps.run("s", work), terminate) == "made once"
    assert work.done == 1
    assert (await read_journal(db, job.id))["s"].result == {"value": "made once"}


@pytest.mark.parametrize(
    "outage",
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
async def test_result_is_written_after_any_outage_of_the_database(
    db: Pool, job: Job, steps: DirectSteps, monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    from storage.jobs import journal

    real, attempts = journal.finish_step, 0

    async def finish_step(*args: Any) -> bool:
        nonlocal attempts
        attempts += 1
        if attempts <= 5:
            raise outage
        return await real(*args)

    monkeypatch.setattr(journal, "finish_step", finish_step)
    work = FlakyWork("made once")
    assert await steps.run("s", work) == "made once"
    assert work.done == 1
    assert (await read_journal(db, job.id))["s"].result == {"value": "made once"}


async def test_database_outage_inside_a_step_costs_no_attempt(steps: DirectSteps) -> None:
    attempts = 0

    async def work() -> str:
        nonlocal attempts
        attempts += 1
        if attempts <= MAX_RETRIES + 2:
            raise ConnectionRefusedError("PostgreSQL restarts")
        return "stored"

    assert await steps.run("store", work) == "stored"
