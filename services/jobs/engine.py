"""`run_job`: runs any job, on either plan."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from loguru import logger

from services.core.background import BackgroundTasks
from services.core.errors import Failure, LeaseLost, PermanentFailure
from services.core.metrics import record_job_end
from services.durable.retry import retry_while_db_unavailable
from services.durable.step_names import DELIVER, DELIVER_CAPTION, NOTIFY
from services.durable.steps import Steps
from services.generation.context import JobContext, Providers
from services.generation.registry import SERVICES
from services.jobs.cancellation import CancelReplay, ReplayEnded, cancel_predictions
from services.jobs.expiry import is_stale
from services.jobs.internal_jobs import InternalJobContext, RunInternalJob
from services.jobs.settlement import end_and_settle
from services.messaging.delivery import deliver_caption, deliver_result, send_failure
from services.messaging.files import download_file
from services.messaging.messenger import Messenger
from services.messaging.progress import finalize_progress, show_progress
from storage.jobs.jobs import Job, JobState, renew_lease
from storage.pool import DATABASE_UNAVAILABLE, Connection, Pool

NotifyFailure = Callable[[Connection, Job, Failure], Awaitable[bool]]
"""Enqueues the notification of a job's failure in the caller's transaction."""


def job_log_context(job: Job) -> AbstractContextManager[None]:
    """Add the job's id, service, user and plan to every log line of the `with` body."""
    return logger.contextualize(job=job.id, service=job.service, user=job.user_id, plan=job.plan)


@dataclass(frozen=True)
class JobEngine:
    """Runs jobs of every kind. Anything specific to one service is a hook of its spec.

    Attributes:
        db: The database.
        messenger: Delivers results and shows progress.
        providers: The providers that services use.
        background: Runs the tasks that renew leases.
        internal_jobs: The function that runs each kind of internal job, by kind.
        notify_failure: Reports failures of services with `notify_failure_later`, in place of a message.
        lease_seconds: The length of a lease: how long a worker that stopped responding keeps its job.
    """

    db: Pool
    messenger: Messenger
    providers: Providers
    background: BackgroundTasks
    internal_jobs: Mapping[str, RunInternalJob]
    notify_failure: NotifyFailure
    lease_seconds: float = 15.0

    async def run_job(self, job: Job, steps: Steps) -> JobState:
        """Run a job to its end. Steps that are in its journal are not repeated.

        Args:
            job: The job. The caller must hold its lease.
            steps: The steps of the caller's plan.

        Returns:
            The job's final state.

        Raises:
            LeaseLost: Another worker has taken the job.
            RetriesExhausted: This plan cannot finish it.
        """
        async with self._renewed_lease(job):
            ended = await (self._run_internal if job.internal else self._run_order)(job, steps)
        logger.info("job ended", state=ended.state, failure=ended.failure)
        record_job_end(ended)
        if not ended.internal:
            await finalize_progress(self.messenger, ended)
        return ended.state

    async def _run_order(self, job: Job, steps: Steps) -> Job:
        """Run an order's service and deliver the result, or end the order as cancelled, expired or failed."""
        if job.cancel_requested:
            await self._cancel_at_provider(job, steps)
            return await self._end(job, "cancelled")
        if is_stale(job) and DELIVER not in steps.entries:
            await self._cancel_at_provider(job, steps)
            return await self._fail(job, steps, PermanentFailure("failure.expired"))
        messenger, media = self.messenger, self.providers.media
        await show_progress(messenger, job, None)
        try:
            result = await SERVICES[job.service].run(self._context(job, steps))
            sent_ids = await steps.run(
                DELIVER,
                partial(deliver_result, messenger, media, job, result),
                reconcile=partial(_log_unknown_delivery, job),
                retry_outages=True,
            )
            if len(result.media) > 1:
                caption = partial(deliver_caption, messenger, job, result, sent_ids)
                await steps.run(DELIVER_CAPTION, caption, retry_outages=True)
        except Failure as failure:
            return await self._fail(job, steps, failure)
        return await self._end(job, "succeeded", result={**result.model_dump(mode="json"), **sent_ids})

    async def _run_internal(self, job: Job, steps: Steps) -> Job:
        try:
            result = await self.internal_jobs[job.service](InternalJobContext(job, steps))
        except Failure as failure:
            logger.error("internal job failed", error=failure)
            return await self._end(job, "failed", failure=failure.key)
        return await self._end(job, "succeeded", result=result)

    async def _fail(self, job: Job, steps: Steps, failure: Failure) -> Job:
        """Notify the user, then end the job. The job ends even if Telegram refuses the message."""
        notify: Callable[[], Awaitable[object]]
        if SERVICES[job.service].notify_failure_later:
            notify = partial(self._enqueue_failure_notification, job, failure)
        else:
            notify = partial(send_failure, self.messenger, job, failure)
        try:
            await steps.run(NOTIFY, notify, retry_outages=True)
        except Failure as error:
            logger.error("user not notified of the failure", failure=failure.key, error=error)
        return await self._end(job, "failed", failure=failure.key)

    async def _enqueue_failure_notification(self, job: Job, failure: Failure) -> None:
        async with self.db.acquire() as connection, connection.transaction():
            await self.notify_failure(connection, job, failure)

    async def _cancel_at_provider(self, job: Job, steps: Steps) -> None:
        """Cancel the job's predictions. Any earlier worker has lost the lease by now."""
        spec, replay = SERVICES[job.service], CancelReplay(self.db, job, steps.entries)
        with suppress(ReplayEnded, Failure):
            await spec.run(self._context(job, replay))
        await cancel_predictions(job, spec.cancel_at(self.providers), replay.prediction_ids)

    def _context(self, job: Job, steps: Steps) -> JobContext:
        return JobContext(
            job,
            steps,
            self.providers,
            self.db,
            download=partial(download_file, self.messenger.bots, job.bot_name),
            report_progress=partial(show_progress, self.messenger, job),
        )

    async def _end(
        self, job: Job, state: JobState, *, failure: str | None = None, result: dict[str, object] | None = None
    ) -> Job:
        """End the job and settle its credits. Raises LeaseLost."""
        end = partial(end_and_settle, self.db, job, state, failure=failure, result=result)
        return await retry_while_db_unavailable(end)

    @asynccontextmanager
    async def _renewed_lease(self, job: Job) -> AsyncIterator[None]:
        """Renew the lease while the body runs. Cancel the body and raise LeaseLost if another worker has the job."""
        lost = False

        async def renew(scope: asyncio.Timeout) -> None:
            nonlocal lost
            while not lost:
                await asyncio.sleep(self.lease_seconds / 3)
                try:
                    lost = not await renew_lease(self.db, job.id, job.epoch, seconds=self.lease_seconds)
                except DATABASE_UNAVAILABLE as error:
                    logger.warning("lease not renewed, database unavailable", error=error)
            scope.reschedule(0)

        try:
            async with asyncio.timeout(None) as scope:
                renewal = self.background.spawn(renew(scope), f"lease-{job.id}")
                try:
                    yield
                finally:
                    renewal.cancel()
                    with suppress(asyncio.CancelledError):
                        await renewal
        except TimeoutError:
            if not lost:
                raise
            raise LeaseLost from None


async def _log_unknown_delivery(job: Job, started_at: datetime) -> None:
    """Log that a worker died between sending the result and recording it.

    Telegram cannot tell whether the result arrived, so it is sent again rather than perhaps never.
    """
    logger.warning("delivery may have arrived, sending again", job=job.id, started_at=started_at)
