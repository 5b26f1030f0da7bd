"""Sends the events in the outbox to Inngest, and moves jobs to Plan B if Inngest is unavailable.

No user waits for this: they get their answer when the order is committed.
"""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from loguru import logger

from services.core.background import BackgroundTasks
from services.jobs.routing import InngestUnavailable, PlanRouter
from services.jobs.worker import Worker
from services.messaging.messenger import Messenger
from services.messaging.progress import show_waiting, waiting_text
from storage.jobs.jobs import (
    Job,
    count_stalled,
    extend_start_deadline,
    move_to_plan_b,
    reclaim_unstarted,
    resend_lost_jobs,
)
from storage.jobs.outbox import claim_outbox, postpone, remove_from_outbox

_POLL_SECONDS: Final = 1.0
_CLAIM_SECONDS: Final = 5.0
_BATCH_SIZE: Final = 50
_RETRY_SECONDS: Final = 2.0
_PING_VALID_SECONDS: Final = 10.0
"""For this long after Inngest answered a ping, jobs that are not started are attributed to Inngest's own limits."""
_STALLED_AFTER_SECONDS: Final = 3.0
"""If a job is not started this long after Inngest accepted it, the publisher checks whether Inngest runs anything."""


class OutboxPublisher:
    """Sends each job in the outbox to its plan.

    Args:
        messenger: Shows users that their order is waiting.
        router: Chooses the plan of a job.
        worker: Woken when jobs move to Plan B.
        start_timeout: Seconds that Inngest has to start an accepted job before Plan B takes it over.
    """

    def __init__(
        self, messenger: Messenger, router: PlanRouter, worker: Worker, *, start_timeout: float = 30.0
    ) -> None:
        self.start_timeout = start_timeout
        self._messenger = messenger
        self._db = messenger.db
        self._router = router
        self._worker = worker
        self._wakeup = asyncio.Event()
        self._ping_valid_until = 0.0

    def start(self, tasks: BackgroundTasks) -> None:
        """Start publishing and checking for stalled jobs. These are two tasks because the check waits for a ping."""
        tasks.run_periodically(self.publish, "outbox publisher", seconds=_POLL_SECONDS, wakeup=self._wakeup)
        check_every = min(_POLL_SECONDS, self.start_timeout / 4)
        tasks.run_periodically(self.check_stalled, "stalled jobs", seconds=check_every)

    def wake(self) -> None:
        """Signal that the outbox may have new rows."""
        self._wakeup.set()

    async def publish(self) -> None:
        """Publish everything in the outbox."""
        await self._resend_lost_jobs()
        while jobs := await claim_outbox(self._db, seconds=_CLAIM_SECONDS, limit=_BATCH_SIZE):
            await self._publish_batch(jobs)

    async def check_stalled(self) -> None:
        """Move jobs that Inngest accepted but did not start to Plan B, if Inngest starts nothing at all."""
        plan_a, loop = self._router.plan_a, asyncio.get_running_loop()
        if not plan_a.healthy or loop.time() < self._ping_valid_until:
            return
        seconds_left = self.start_timeout - min(_STALLED_AFTER_SECONDS, self.start_timeout / 3)
        if not await count_stalled(self._db, seconds_left=seconds_left):
            return
        if await plan_a.check_runs():
            self._ping_valid_until = loop.time() + min(_PING_VALID_SECONDS, self.start_timeout)
            return
        if count := await reclaim_unstarted(self._db, self._router.takeover_services()):
            logger.warning("jobs not started by Inngest moved to plan B", jobs=count)
            self._worker.wake()

    async def _resend_lost_jobs(self) -> None:
        """Send jobs again that Inngest lost, if mode `a` does not allow Plan B to take them over."""
        plan_a_only = [service for service in self._router.services if self._router.mode(service) == "a"]
        if not plan_a_only or not self._router.plan_a.healthy:
            return
        if count := await resend_lost_jobs(self._db, plan_a_only, seconds=self.start_timeout):
            logger.warning("jobs lost by Inngest are sent again", jobs=count)

    async def _publish_batch(self, jobs: Sequence[Job]) -> None:
        router = self._router
        ready = [job for job in jobs if router.choose_plan(job.service) == "A" and router.plan_a.healthy]
        if ready and await self._send(ready):
            jobs = [job for job in jobs if job not in ready]
        waiting = [job for job in jobs if router.mode(job.service) == "a"]
        fallback_ids = [job.id for job in jobs if router.mode(job.service) != "a"]
        if waiting:
            await postpone(self._db, [job.id for job in waiting], seconds=_RETRY_SECONDS)
            for job in waiting:
                if job.state == "queued":
                    await show_waiting(self._messenger, job, waiting_text(self._messenger.texts, job))
        if fallback_ids:
            await self._fall_back(fallback_ids)

    async def _send(self, jobs: Sequence[Job]) -> bool:
        """Send jobs to Inngest and remove them from the outbox. Returns False if Inngest did not accept them."""
        try:
            await self._router.plan_a.send(jobs)
        except InngestUnavailable as error:
            logger.warning("jobs not accepted by Inngest", jobs=len(jobs), error=error)
            return False
        job_ids = [job.id for job in jobs]
        async with self._db.acquire() as connection, connection.transaction():
            await extend_start_deadline(connection, job_ids, seconds=self.start_timeout)
            await remove_from_outbox(connection, job_ids)
        return True

    async def _fall_back(self, job_ids: Sequence[UUID]) -> None:
        fallback_services = [service for service in self._router.services if self._router.falls_back(service)]
        async with self._db.acquire() as connection, connection.transaction():
            await move_to_plan_b(connection, job_ids, fell_back=fallback_services)
            await remove_from_outbox(connection, job_ids)
        logger.info("jobs moved to plan B", jobs=len(job_ids))
        self._worker.wake()
