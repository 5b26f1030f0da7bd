"""Steps: the only object that differs between the two plans.

A step is a named piece of a job's work whose result can be stored as JSON. On either plan its outcome is written to
the journal under the worker's epoch, and a step in the journal never runs again. So a job can move to another plan or
process between any two steps without repeating anything.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

import stamina
from loguru import logger

from services.core.errors import Failure, LeaseLost, Unavailable, to_failure
from services.durable.pubsub import PubSub
from services.durable.retry import retry_while_db_unavailable
from storage.jobs import journal
from storage.jobs.jobs import Job, Plan, renew_lease
from storage.pool import Pool

T = TypeVar("T")
StepFunction = Callable[[], Awaitable[Any]]
Reconcile = Callable[[datetime], Awaitable[Any]]
Outcome = dict[str, Any]
"""A step's outcome in the journal: `{"value": …}` or `{"failure": …}`."""

MAX_RETRIES = 3
"""How often a step is retried, on either plan."""


class Steps(ABC):
    """The steps of one run of one job. Each plan implements how to retry, sleep and wait.

    Args:
        db: The database with the journal.
        job: The job, with the epoch of this worker.
        entries: The job's journal, by step name.
    """

    plan: Plan

    def __init__(self, db: Pool, job: Job, entries: dict[str, journal.JournalEntry]) -> None:
        self._db = db
        self._job = job
        self._entries = entries

    @property
    def entries(self) -> dict[str, journal.JournalEntry]:
        """The job's journal, by step name."""
        return self._entries

    async def run(
        self,
        step: str,
        work: Callable[[], Awaitable[T]],
        *,
        reconcile: Reconcile | None = None,
        retry_outages: bool = False,
    ) -> T:
        """Do `work` once, or return its result from the journal.

        Args:
            step: The step's name, unique within the job.
            work: The work. Its result must be storable as JSON.
            reconcile: For work that must not be started twice. If an earlier attempt was interrupted, `reconcile` is
                called before `work`, with the time at which the step first started. It returns the result of the
                earlier attempt, or None if nothing was started.
            retry_outages: Whether to keep retrying for as long as Telegram is unavailable.

        Returns:
            The work's result.

        Raises:
            Failure: The step failed; the failure is in the journal.
            LeaseLost: Another worker has the job.
            RetriesExhausted: This plan has no attempts left for a step that must still be finished.
        """
        entry = self._entries.get(step)
        if entry is not None and entry.ended_at is not None:
            return cast("T", _unwrap(entry.result))
        attempt = partial(self._run_attempt, step, work, reconcile, retry_outages)
        return cast("T", _unwrap(await self._retry(step, attempt, retry_outages)))

    async def sleep(self, step: str, seconds: float) -> None:
        """Sleep, once per job: after a takeover the job sleeps only for the rest of `seconds`."""
        if step in self._entries:
            return
        await self._sleep(step, seconds)
        await self._record(step, {"value": None})

    async def wait(self, step: str, topic: str, seconds: float) -> None:
        """Wait, once per job, until a topic is published (pubsub.py) or the time is up.

        The caller does not learn which; it has to check the state itself.

        Args:
            step: The step's name.
            topic: The topic to wait for.
            seconds: The time limit.
        """
        if step in self._entries:
            return
        await self._wait_for(step, topic, seconds)
        await self._record(step, {"value": None})

    @abstractmethod
    async def _wait_for(self, step: str, topic: str, seconds: float) -> None: ...

    @abstractmethod
    async def _retry(
        self, step: str, attempt: Callable[[bool], Awaitable[Outcome]], retry_outages: bool
    ) -> Outcome:
        """Call `attempt(last)` until it returns, with this plan's retries."""

    @abstractmethod
    async def _sleep(self, step: str, seconds: float) -> None: ...

    async def _run_attempt(
        self, step: str, work: StepFunction, reconcile: Reconcile | None, retry_outages: bool, last: bool
    ) -> Outcome:
        outcome: Outcome
        try:
            # An unavailable database is not the step's failure and does not count as an attempt.
            with logger.contextualize(step=step):
                outcome = {
                    "value": await retry_while_db_unavailable(partial(self._execute, step, work, reconcile))
                }
        except LeaseLost:
            raise
        except Exception as error:
            failure = to_failure(error)
            known = failure.key != "failure.unexpected"
            logger.opt(exception=None if known else error).warning("step failed", step=step, error=failure)
            if failure.retriable and (not last or (retry_outages and isinstance(failure, Unavailable))):
                if failure is error:
                    raise
                raise failure from error
            outcome = {"failure": failure.to_json()}
        await self._record(step, outcome)
        return outcome

    async def _execute(self, step: str, work: StepFunction, reconcile: Reconcile | None) -> Any:
        if reconcile is None:
            if not await retry_while_db_unavailable(
                partial(renew_lease, self._db, self._job.id, self._job.epoch, seconds=0)
            ):
                raise LeaseLost
            return await work()
        started_at = await retry_while_db_unavailable(
            partial(journal.start_step, self._db, self._job.id, step, self._job.epoch)
        )
        if started_at is None:
            raise LeaseLost
        if step in self._entries and (found := await reconcile(started_at)) is not None:
            logger.info("step continues what an earlier attempt started", started_at=started_at)
            return found
        self._entries[step] = journal.JournalEntry(step, self._job.epoch, started_at, None, None)
        return await work()

    async def _record(self, step: str, outcome: Outcome) -> None:
        """Write the outcome to the journal. Raises LeaseLost."""
        if not await retry_while_db_unavailable(
            partial(journal.finish_step, self._db, self._job.id, step, self._job.epoch, outcome)
        ):
            raise LeaseLost
        now = datetime.now().astimezone()
        self._entries[step] = journal.JournalEntry(step, self._job.epoch, now, now, outcome)


class DirectSteps(Steps):
    """Plan B's steps: they run inline in this process, which also does the retries."""

    plan: Plan = "B"

    def __init__(self, db: Pool, job: Job, entries: dict[str, journal.JournalEntry], pubsub: PubSub) -> None:
        super().__init__(db, job, entries)
        self._pubsub = pubsub

    async def _retry(
        self, step: str, attempt: Callable[[bool], Awaitable[Outcome]], retry_outages: bool
    ) -> Outcome:
        max_attempts = None if retry_outages else MAX_RETRIES + 1
        async for retry in stamina.retry_context(
            on=_retry_delay, attempts=max_attempts, timeout=None, wait_initial=0.5, wait_max=20
        ):
            with retry:
                return await attempt(retry.num > MAX_RETRIES)
        raise AssertionError("the last attempt returns or raises")

    async def _sleep(self, step: str, seconds: float) -> None:
        await asyncio.sleep(self._remaining(seconds))

    async def _wait_for(self, step: str, topic: str, seconds: float) -> None:
        await self._pubsub.wait(topic, self._remaining(seconds))

    def _remaining(self, seconds: float) -> float:
        """The rest of a pause that began when the last step ended, possibly under another worker."""
        ends = [entry.ended_at for entry in self._entries.values() if entry.ended_at is not None]
        passed = (datetime.now(UTC) - max(ends)).total_seconds() if ends else 0.0
        return min(seconds, max(0.0, seconds - passed))


def _retry_delay(error: Exception) -> bool | float:
    """Whether to retry, or the seconds to wait if Telegram or the provider gave a number."""
    if not isinstance(error, Failure):
        return False
    return error.retry_after if error.retry_after is not None else error.retriable


def _unwrap(outcome: Outcome) -> Any:
    if "failure" in outcome:
        raise Failure.from_json(outcome["failure"])
    return outcome["value"]
