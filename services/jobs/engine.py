"""`run_job`: the one place where an accepted order becomes a result, on either plan."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from loguru import logger

from services.core.errors import Broken, Failure, LeaseLost
from services.core.metrics import count_end
from services.durable.steps import Steps, patiently
from services.generation.context import Work
from services.generation.registry import SERVICES
from services.jobs.cancellation import Stopped, StoppingSteps, stop_work
from services.jobs.expiry import is_stale
from services.jobs.internal_jobs import Errand, ErrandSpec
from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from services.messaging.delivery import deliver, deliver_words, tell_failure
from services.messaging.files import download
from services.messaging.progress import show_end, show_percent
from storage.jobs.jobs import Job, State, end_job, renew_lease
from storage.pool import DATABASE_AWAY, Connection

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

    studio: Studio
    errands: Mapping[str, ErrandSpec]
    notify_failure: NotifyFailure

    async def run_job(self, job: Job, steps: Steps) -> State:
        """Do the rest of a job whose lease the caller has taken, and give how it ended.

        Whatever is in the journal is not done again.

        Raises:
            LeaseLost: Another runner has taken the job.
            PlanGaveUp: This plan cannot finish it.
        """
        studio = self.studio
        async with _keeping_lease(studio, job):
            if job.errand:
                ended = await self._run_errand(job, steps)
            elif job.cancel_requested:
                ended = await self._cancel(job, steps)
            elif is_stale(job) and "deliver" not in steps.entries:
                ended = await self._expire(job, steps)
            else:
                ended = await self._finish(job, steps)
        why = f" ({ended.failure})" if ended.failure else ""
        logger.info("job {} {} on plan {} ended: {}{}", job.id, job.service, job.plan, ended.state, why)
        count_end(ended)
        if not ended.errand:
            await show_end(studio, ended)
        return ended.state

    async def _finish(self, job: Job, steps: Steps) -> Job:
        studio = self.studio
        await show_percent(studio, job, None)
        try:
            result = await SERVICES[job.service].run(_work(studio, job, steps))
            maybe = partial(_maybe_delivered, job)
            sent = await steps.run("deliver", partial(deliver, studio, job, result), recover=maybe, patient=True)
            if len(result.media) > 1:
                await steps.run("words", partial(deliver_words, studio, job, result, sent), patient=True)
        except Failure as failure:
            await self._tell(job, steps, failure)
            return await _end(studio, job, "failed", failure=failure.key)
        return await _end(studio, job, "succeeded", result={**result.model_dump(mode="json"), **sent})

    async def _run_errand(self, job: Job, steps: Steps) -> Job:
        try:
            result = await self.errands[job.service].run(Errand(self.studio, job, steps))
        except Failure as failure:
            logger.error("errand {} {} failed: {}", job.id, job.service, failure)
            return await _end(self.studio, job, "failed", failure=failure.key)
        return await _end(self.studio, job, "succeeded", result=result)

    async def _tell(self, job: Job, steps: Steps, failure: Failure) -> None:
        """The person hears of it. Where Telegram refuses even that for good, the job ends all the same."""
        later = SERVICES[job.service].notify_failure_later
        tell = self._note_failure if later else partial(tell_failure, self.studio)
        try:
            await steps.run("tell", partial(tell, job, failure), patient=True)
        except Failure as untold:
            logger.error("job {}: the person could not be told of {}: {}", job.id, failure.key, untold)

    async def _note_failure(self, job: Job, failure: Failure) -> None:
        async with self.studio.db.acquire() as connection, connection.transaction():
            await self.notify_failure(connection, job, failure)

    async def _cancel(self, job: Job, steps: Steps) -> Job:
        """End the job that its person stopped. Its old runner, if there is one, has lost the lease."""
        await self._stop(job, steps)
        return await _end(self.studio, job, "cancelled")

    async def _expire(self, job: Job, steps: Steps) -> Job:
        """The order has waited for so long that its person no longer does."""
        await self._stop(job, steps)
        await self._tell(job, steps, Broken("failure.expired"))
        return await _end(self.studio, job, "failed", failure="failure.expired")

    async def _stop(self, job: Job, steps: Steps) -> None:
        """Cancel what was started for the job at its provider."""
        spec, stopping = SERVICES[job.service], StoppingSteps(self.studio.db, job, steps.entries)
        with suppress(Stopped, Failure):
            await spec.run(_work(self.studio, job, stopping))
        await stop_work(job, spec.works_at(self.studio.providers), stopping.started)


def _work(studio: Studio, job: Job, steps: Steps) -> Work:
    report = partial(show_percent, studio, job)
    return Work(job, steps, studio.providers, studio.db, partial(download, studio.bot(job.bot_name)), report)


async def _maybe_delivered(job: Job, begun: datetime) -> None:
    """A runner died between sending the result and writing it down: Telegram cannot say whether it arrived.

    The person must not be left without it, so it is sent (again).
    """
    logger.warning("job {}: delivery was begun at {} and its end is unknown; sending now", job.id, begun)


async def _end(
    studio: Studio, job: Job, state: State, *, failure: str | None = None, result: dict[str, object] | None = None
) -> Job:
    """End the job and settle its hold in one transaction. Raises LeaseLost."""

    async def end() -> Job:
        async with studio.db.acquire() as connection, connection.transaction():
            ended = await end_job(connection, job.id, job.epoch, state, failure=failure, result=result)
            if ended is None:
                raise LeaseLost
            await (ledger.capture if state == "succeeded" else ledger.release)(connection, ended)
        return ended

    return await patiently(end)


@asynccontextmanager
async def _keeping_lease(studio: Studio, job: Job) -> AsyncIterator[None]:
    """Renew the lease while the body runs; stop the body when the lease turns out to be another's."""
    lost = False

    async def renew(scope: asyncio.Timeout) -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(studio.lease_seconds / 3)
            try:
                lost = not await renew_lease(studio.db, job.id, job.epoch, seconds=studio.lease_seconds)
            except DATABASE_AWAY as error:
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
