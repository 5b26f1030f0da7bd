"""Brings accepted orders to Inngest, out of the outbox; to Plan B where Inngest is away and the mode allows.

Sending is nobody's to wait for: the person was answered when the order was committed.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from loguru import logger

from services.jobs.routing import InngestUnavailable, PlanRouter
from services.jobs.worker import Worker
from services.messaging.app_context import AppContext
from services.messaging.buttons import cancel_keyboard
from services.messaging.progress import edit_progress, waiting_text
from storage.jobs.jobs import (
    Job,
    count_stalled,
    extend_start_deadline,
    move_to_plan_b,
    reclaim_unstarted,
    resend_lost_jobs,
)
from storage.jobs.outbox import claim_outbox, postpone, remove_from_outbox
from storage.pool import DATABASE_UNAVAILABLE

_POLL_SECONDS = 1.0
_CLAIM_SECONDS = 5.0
_BATCH_SIZE = 50
_RETRY_SECONDS = 2.0
_PING_VALID_SECONDS = 10.0
"""Seconds for which an answered ping explains unbegun jobs: Inngest's own limits hold them back."""
_STALLED_AFTER_SECONDS = 3.0
"""Seconds after which an accepted job that was not begun raises the question whether Inngest runs anything."""


class OutboxPublisher:
    """`start_within` is the seconds Inngest has to begin an accepted job before Plan B takes it over."""

    def __init__(
        self, studio: AppContext, plans: PlanRouter, worker: Worker, *, start_timeout: float = 30.0
    ) -> None:
        self._studio = studio
        self._db = studio.db
        self._plans = plans
        self._worker = worker
        self.start_timeout = start_timeout
        self._wakeup = asyncio.Event()
        self._ping_valid_until = 0.0

    def wake(self) -> None:
        self._wakeup.set()

    async def run(self) -> None:
        """Send what is in the outbox, for ever."""
        while True:
            self._wakeup.clear()
            try:
                await self._resend_lost_jobs()
                while jobs := await claim_outbox(self._db, seconds=_CLAIM_SECONDS, limit=_BATCH_SIZE):
                    await self._publish_batch(jobs)
            except DATABASE_UNAVAILABLE as error:
                logger.warning("the outbox is not sent, the database is away: {}", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), timeout=_POLL_SECONDS)

    async def _resend_lost_jobs(self) -> None:
        plan_a_only = [service for service in self._plans.services if self._plans.mode(service) == "a"]
        if not plan_a_only or not self._plans.plan_a.healthy:
            return
        if count := await resend_lost_jobs(self._db, plan_a_only, seconds=self.start_timeout):
            logger.warning("Inngest lost {} jobs; they are sent again", count)

    async def check_stalled(self) -> None:
        """Keep an eye on what Inngest has accepted, for ever. A loop of its own, as it waits for a ping."""
        while True:
            with suppress(*DATABASE_UNAVAILABLE):  # run() says so
                await self._check_stalled_jobs()
            await asyncio.sleep(min(_POLL_SECONDS, self.start_timeout / 4))

    async def _check_stalled_jobs(self) -> None:
        """Inngest may take events and run nothing: then nobody has to wait for a job's time to be over."""
        plan_a, loop = self._plans.plan_a, asyncio.get_running_loop()
        if not plan_a.healthy or loop.time() < self._ping_valid_until:
            return
        seconds_left = self.start_timeout - min(_STALLED_AFTER_SECONDS, self.start_timeout / 3)
        if not await count_stalled(self._db, seconds_left=seconds_left):
            return
        if await plan_a.check_runs():
            self._ping_valid_until = loop.time() + min(_PING_VALID_SECONDS, self.start_timeout)
            return
        if count := await reclaim_unstarted(self._db, self._plans.takeover_services()):
            logger.warning("Inngest runs nothing; {} jobs it had accepted go to plan B", count)
            self._worker.wake()

    async def _publish_batch(self, jobs: Sequence[Job]) -> None:
        ready = [job for job in jobs if self._plans.choose_plan(job.service) == "A" and self._plans.plan_a.healthy]
        if ready and await self._send_to_inngest(ready):
            await self._mark_published([job.id for job in ready])
            jobs = [job for job in jobs if job not in ready]
        waiting = [job for job in jobs if self._plans.mode(job.service) == "a"]
        fallback_ids = [job.id for job in jobs if self._plans.mode(job.service) != "a"]
        if waiting:
            await postpone(self._db, [job.id for job in waiting], seconds=_RETRY_SECONDS)
            await self._show_waiting(waiting)
        if fallback_ids:
            await self._fall_back(fallback_ids)

    async def _show_waiting(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            text = waiting_text(self._studio, job)
            if job.state == "queued" and self._studio.throttle.allow(job.id, text):
                await edit_progress(self._studio, job, text, cancel_keyboard(self._studio.texts, job))

    async def _send_to_inngest(self, jobs: Sequence[Job]) -> bool:
        try:
            await self._plans.plan_a.send(jobs)
        except InngestUnavailable as error:
            logger.warning("Inngest did not take {} jobs: {}", len(jobs), error)
            return False
        return True

    async def _mark_published(self, job_ids: Sequence[UUID]) -> None:
        async with self._db.acquire() as connection, connection.transaction():
            await extend_start_deadline(connection, job_ids, seconds=self.start_timeout)
            await remove_from_outbox(connection, job_ids)

    async def _fall_back(self, job_ids: Sequence[UUID]) -> None:
        async with self._db.acquire() as connection, connection.transaction():
            fallback_services = [service for service in self._plans.services if self._plans.falls_back(service)]
            await move_to_plan_b(connection, job_ids, fell_back=fallback_services)
            await remove_from_outbox(connection, job_ids)
        logger.info("{} jobs go to plan B", len(job_ids))
        self._worker.wake()
