"""Steps: the one object in which the two plans differ.

A step is a named piece of a job's work whose result can be stored as JSON. Whatever the plan, its end
goes into the journal under the runner's epoch, and a step in the journal never runs again. So a job can
change plans, or processes, between any two steps and repeat nothing.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

import stamina
from loguru import logger

from services.core.errors import Away, Failure, LeaseLost, failure_of
from services.durable.pubsub import Signals
from storage.jobs import journal
from storage.jobs.jobs import Job, Plan, renew_lease
from storage.pool import DATABASE_AWAY, Pool

T = TypeVar("T")
Work = Callable[[], Awaitable[Any]]
Recover = Callable[[datetime], Awaitable[Any]]
Outcome = dict[str, Any]
"""What the journal holds of a step: `{"value": …}` or `{"failure": …}`."""

RETRIES = 3
"""How often a step is tried again, on either plan."""


async def patiently(write: Callable[[], Awaitable[T]]) -> T:
    """Do a write of ours, however long the database is away (2 minutes): the work around it must not run again."""
    async for attempt in stamina.retry_context(on=DATABASE_AWAY, attempts=40, timeout=120, wait_max=3):
        with attempt:
            return await write()
    raise AssertionError("the last attempt returns or raises")


class Steps(ABC):
    """The steps of one run of one job."""

    plan: Plan

    def __init__(self, db: Pool, job: Job, entries: dict[str, journal.Entry]) -> None:
        self._db = db
        self._job = job
        self._entries = entries

    @property
    def entries(self) -> dict[str, journal.Entry]:
        """The journal as it stands."""
        return self._entries

    async def run(
        self, step: str, work: Callable[[], Awaitable[T]], *, recover: Recover | None = None, patient: bool = False
    ) -> T:
        """Do `work` once, or give what the journal has of it.

        `recover` is for work that must not be asked for twice: after a death or a lost answer in the
        middle of the step it is called first, with the time the step first began, and may find what was
        begun. A `patient` step outlasts an outside that is away: it is tried until that is back.
        Raises Failure, LeaseLost, PlanGaveUp.
        """
        entry = self._entries.get(step)
        if entry is not None and entry.ended_at is not None:
            return cast("T", _value(entry.result))
        return cast("T", await self._fresh(step, work, recover, patient))

    async def _fresh(self, step: str, work: Work, recover: Recover | None, patient: bool) -> Any:
        return _value(await self._attempts(step, partial(self._attempt, step, work, recover, patient), patient))

    async def sleep(self, step: str, seconds: float) -> None:
        """Let time pass, once."""
        if step in self._entries:
            return
        await self._pause(step, seconds)
        await self._end(step, {"value": None})

    async def wait(self, step: str, signal: str, seconds: float) -> None:
        """Let time pass until `signal` is given (signals.py), or that long. Either way the work goes on: whoever
        wakes up looks for itself what has happened."""
        if step in self._entries:
            return
        await self._await(step, signal, seconds)
        await self._end(step, {"value": None})

    @abstractmethod
    async def _await(self, step: str, signal: str, seconds: float) -> None: ...

    @abstractmethod
    async def _attempts(self, step: str, attempt: Callable[[bool], Awaitable[Outcome]], patient: bool) -> Outcome:
        """Call `attempt(last)` until it returns, with this plan's retries."""

    @abstractmethod
    async def _pause(self, step: str, seconds: float) -> None: ...

    async def _attempt(self, step: str, work: Work, recover: Recover | None, patient: bool, last: bool) -> Outcome:
        outcome: Outcome
        try:
            # That our own database is away is nobody's failure, and costs no try.
            outcome = {"value": await patiently(partial(self._work, step, work, recover))}
        except LeaseLost:
            raise
        except Exception as error:
            failure = failure_of(error)
            known = failure.key != "failure.unexpected"
            logger.opt(exception=None if known else error).warning(
                "job {} step {} on plan {}: {}", self._job.id, step, self.plan, failure
            )
            if failure.retriable and (not last or (patient and isinstance(failure, Away))):
                if failure is error:
                    raise
                raise failure from error
            outcome = {"failure": failure.to_json()}
        await self._end(step, outcome)
        return outcome

    async def _work(self, step: str, work: Work, recover: Recover | None) -> Any:
        if recover is None:
            if not await patiently(partial(renew_lease, self._db, self._job.id, self._job.epoch, seconds=0)):
                raise LeaseLost
            return await work()
        begun = await patiently(partial(journal.begin_step, self._db, self._job.id, step, self._job.epoch))
        if begun is None:
            raise LeaseLost
        if step in self._entries and (found := await recover(begun)) is not None:
            logger.info("job {} step {}: found what was begun at {}", self._job.id, step, begun)
            return found
        self._entries[step] = journal.Entry(step, self._job.epoch, begun, None, None)
        return await work()

    async def _end(self, step: str, outcome: Outcome) -> None:
        """Write the end down. Raises LeaseLost."""
        if not await patiently(partial(journal.end_step, self._db, self._job.id, step, self._job.epoch, outcome)):
            raise LeaseLost
        now = datetime.now().astimezone()
        self._entries[step] = journal.Entry(step, self._job.epoch, now, now, outcome)


class DirectSteps(Steps):
    """Plan B: inline, in this process, with retries of its own."""

    plan: Plan = "B"

    def __init__(self, db: Pool, job: Job, entries: dict[str, journal.Entry], signals: Signals) -> None:
        super().__init__(db, job, entries)
        self._signals = signals

    async def _attempts(self, step: str, attempt: Callable[[bool], Awaitable[Outcome]], patient: bool) -> Outcome:
        tries = None if patient else RETRIES + 1
        async for retry in stamina.retry_context(
            on=_retry_delay, attempts=tries, timeout=None, wait_initial=0.5, wait_max=20
        ):
            with retry:
                return await attempt(retry.num > RETRIES)
        raise AssertionError("the last attempt returns or raises")

    async def _pause(self, step: str, seconds: float) -> None:
        await asyncio.sleep(self._left_of(seconds))

    async def _await(self, step: str, signal: str, seconds: float) -> None:
        await self._signals.wait(signal, self._left_of(seconds))

    def _left_of(self, seconds: float) -> float:
        """What is left of a pause that began with the last step's end, perhaps under another runner."""
        ends = [entry.ended_at for entry in self._entries.values() if entry.ended_at is not None]
        passed = (datetime.now(UTC) - max(ends)).total_seconds() if ends else 0.0
        return min(seconds, max(0.0, seconds - passed))


def _retry_delay(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds where the other side said so."""
    if not isinstance(error, Failure):
        return False
    return error.retry_after if error.retry_after is not None else error.retriable


def _value(outcome: Outcome) -> Any:
    if "failure" in outcome:
        raise Failure.from_json(outcome["failure"])
    return outcome["value"]
