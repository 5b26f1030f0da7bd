"""`run_job`: the one place where an accepted order becomes a result, on either plan."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from loguru import logger

from services.core.errors import Failure, LeaseLost, PermanentFailure
from services.core.metrics import record_job_end
from services.durable.steps import Steps, retry_while_db_unavailable
from services.generation.context import JobContext
from services.generation.registry import SERVICES
from services.jobs.cancellation import CancelReplay, ReplayEnded, cancel_predictions
from services.jobs.expiry import is_stale
from services.jobs.internal_jobs import InternalJobContext, InternalJobSpec
from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from services.messaging.delivery import deliver_caption, deliver_result, send_failure
from services.messaging.files import download_file
from services.messaging.progress import finalize_progress, show_progress
from storage.jobs.jobs import Job, JobState, end_job, renew_lease
from storage.pool import DATABASE_UNAVAILABLE, Connection

NotifyFailure = Callable[[Connection, Job, Failure], Awaitable[bool]]
"""Notes, in the caller's transaction, that a job's user has to hear of its failure."""


@dataclass(frozen=True)
class JobEngine:
    """Runs jobs of every kind. It knows no product: what one kind needs is a hook of its spec.

    Args:
        studio: What jobs work with.
        errands: The specs of the jobs nobody ordered, by id.
        notify_failure: Used instead of a message in the chat by services with `notify_failure_later`.
    """

    studio: AppContext
    internal_jobs: Mapping[str, InternalJobSpec]
    notify_failure: NotifyFailure

    async def run_job(self, job: Job, steps: Steps) -> JobState:
        """Do the rest of a job whose lease the caller has taken, and give how it ended.

        Whatever is in the journal is not done again.

        Raises:
            LeaseLost: Another runner has taken the job.
            PlanGaveUp: This plan cannot finish it.
        """
        studio = self.studio
        async with _renewed_lease(studio, job):
            if job.internal:
                ended = await self._run_internal(job, steps)
            elif job.cancel_requested:
                ended = await self._cancel(job, steps)
            elif is_stale(job) and "deliver" not in steps.entries:
                ended = await self._expire(job, steps)
            else:
                ended = await self._run_order(job, steps)
        why = f" ({ended.failure})" if ended.failure else ""
        logger.info("job {} {} on plan {} ended: {}{}", job.id, job.service, job.plan, ended.state, why)
        record_job_end(ended)
        if not ended.internal:
            await finalize_progress(studio, ended)
        return ended.state

    async def _run_order(self, job: Job, steps: Steps) -> Job:
        studio = self.studio
        await show_progress(studio, job, None)
        try:
            result = await SERVICES[job.service].run(_job_context(studio, job, steps))
            reconcile = partial(_log_unknown_delivery, job)
            message_ids = await steps.run(
                "deliver", partial(deliver_result, studio, job, result), reconcile=reconcile, retry_outages=True
            )
            if len(result.media) > 1:
                await steps.run(
                    "words", partial(deliver_caption, studio, job, result, message_ids), retry_outages=True
                )
        except Failure as failure:
            await self._report_failure(job, steps, failure)
            return await _end(studio, job, "failed", failure=failure.key)
        return await _end(studio, job, "succeeded", result={**result.model_dump(mode="json"), **message_ids})

    async def _run_internal(self, job: Job, steps: Steps) -> Job:
        try:
            result = await self.internal_jobs[job.service].run(InternalJobContext(self.studio, job, steps))
        except Failure as failure:
            logger.error("errand {} {} failed: {}", job.id, job.service, failure)
            return await _end(self.studio, job, "failed", failure=failure.key)
        return await _end(self.studio, job, "succeeded", result=result)

    async def _report_failure(self, job: Job, steps: Steps, failure: Failure) -> None:
        """The person hears of it. Where Telegram refuses even that for good, the job ends all the same."""
        later = SERVICES[job.service].notify_failure_later
        send = self._enqueue_failure_notification if later else partial(send_failure, self.studio)
        try:
            await steps.run("notify", partial(send, job, failure), retry_outages=True)
        except Failure as error:
            logger.error("job {}: the person could not be told of {}: {}", job.id, failure.key, error)

    async def _enqueue_failure_notification(self, job: Job, failure: Failure) -> None:
        async with self.studio.db.acquire() as connection, connection.transaction():
            await self.notify_failure(connection, job, failure)

    async def _cancel(self, job: Job, steps: Steps) -> Job:
        """End the job that its person stopped. Its old runner, if there is one, has lost the lease."""
        await self._cancel_at_provider(job, steps)
        return await _end(self.studio, job, "cancelled")

    async def _expire(self, job: Job, steps: Steps) -> Job:
        """The order has waited for so long that its person no longer does."""
        await self._cancel_at_provider(job, steps)
        await self._report_failure(job, steps, PermanentFailure("failure.expired"))
        return await _end(self.studio, job, "failed", failure="failure.expired")

    async def _cancel_at_provider(self, job: Job, steps: Steps) -> None:
        """Cancel what was started for the job at its provider."""
        spec, replay = SERVICES[job.service], CancelReplay(self.studio.db, job, steps.entries)
        with suppress(ReplayEnded, Failure):
            await spec.run(_job_context(self.studio, job, replay))
        await cancel_predictions(job, spec.cancel_at(self.studio.providers), replay.prediction_ids)


def _job_context(studio: AppContext, job: Job, steps: Steps) -> JobContext:
    report = partial(show_progress, studio, job)
    return JobContext(
        job,
        steps,
        studio.providers,
        studio.db,
        partial(download_file, studio.bot_or_default(job.bot_name)),
        report,
    )


async def _log_unknown_delivery(job: Job, started_at: datetime) -> None:
    """A runner died between sending the result and writing it down: Telegram cannot say whether it arrived.

    The person must not be left without it, so it is sent (again).
    """
    logger.warning("job {}: delivery was begun at {} and its end is unknown; sending now", job.id, started_at)


async def _end(
    studio: AppContext,
    job: Job,
    state: JobState,
    *,
    failure: str | None = None,
    result: dict[str, object] | None = None,
) -> Job:
    """End the job and settle its hold in one transaction. Raises LeaseLost."""

    async def end() -> Job:
        async with studio.db.acquire() as connection, connection.transaction():
            ended = await end_job(connection, job.id, job.epoch, state, failure=failure, result=result)
            if ended is None:
                raise LeaseLost
            await (ledger.capture if state == "succeeded" else ledger.release)(connection, ended)
        return ended

    return await retry_while_db_unavailable(end)


@asynccontextmanager
async def _renewed_lease(studio: AppContext, job: Job) -> AsyncIterator[None]:
    """Renew the lease while the body runs; stop the body when the lease turns out to be another's."""
    lost = False

    async def renew(scope: asyncio.Timeout) -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(studio.lease_seconds / 3)
            try:
                lost = not await renew_lease(studio.db, job.id, job.epoch, seconds=studio.lease_seconds)
            except DATABASE_UNAVAILABLE as error:
                logger.warning("job {}: lease not renewed, the database is away: {}", job.id, error)
                continue
            if lost:
                scope.reschedule(0)
                return

    try:
        async with asyncio.timeout(None) as scope:
            renewal = studio.background.spawn(renew(scope), f"lease-{job.id}")
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
