"""Plan A's steps: each is a durable step of an Inngest run."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import inngest

from inngest_functions.events import PREDICTION_FINISHED
from services.core.errors import Failure, RetriesExhausted
from services.durable.steps import MAX_RETRIES, Outcome, Steps
from storage.jobs import journal
from storage.jobs.jobs import Job, Plan, renew_lease
from storage.pool import Pool


class InngestSteps(Steps):
    """Runs each step through `ctx.step`.

    Inngest calls the function once per step, and each call renews the lease. A wait extends the lease by its length.

    Args:
        db: The pool.
        job: The job.
        entries: The job's journal.
        ctx: Inngest's context of this call.
        lease_seconds: How long a lease lasts.
    """

    plan: Plan = "A"

    def __init__(
        self,
        db: Pool,
        job: Job,
        entries: dict[str, journal.JournalEntry],
        ctx: inngest.Context,
        lease_seconds: float,
    ) -> None:
        super().__init__(db, job, entries)
        self._ctx = ctx
        self._lease_seconds = lease_seconds

    async def _retry(
        self, step: str, attempt: Callable[[bool], Awaitable[Outcome]], retry_outages: bool
    ) -> Outcome:
        async def run_attempt() -> Outcome:
            try:
                return await attempt(self._ctx.attempt >= MAX_RETRIES)
            except Failure as failure:
                if failure.retry_after is None:
                    raise
                raise inngest.RetryAfterError(
                    str(failure), timedelta(seconds=failure.retry_after), quiet=True
                ) from failure

        try:
            return await self._ctx.step.run(step, run_attempt)
        except inngest.StepError as error:
            # Only outages get here: every other failure is recorded in the journal.
            raise RetriesExhausted(f"step {step}: {error.message}") from error

    async def _wait_for(self, step: str, topic: str, seconds: float) -> None:
        """Let Inngest wait for the prediction's event, so that no process has to."""
        await renew_lease(self._db, self._job.id, self._job.epoch, seconds=seconds + self._lease_seconds)
        await self._ctx.step.wait_for_event(
            step,
            event=PREDICTION_FINISHED,
            if_exp=f"async.data.prediction_id == '{topic}'",
            timeout=timedelta(seconds=max(1, round(seconds))),
        )

    async def _sleep(self, step: str, seconds: float) -> None:
        await renew_lease(self._db, self._job.id, self._job.epoch, seconds=seconds + self._lease_seconds)
        await self._ctx.step.sleep(step, timedelta(seconds=seconds))
