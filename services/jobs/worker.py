"""Plan B: jobs run in this process, a bounded number at once, in all and for each person.

The jobs table is the queue. New orders, jobs of a process that died and jobs that Plan A let go come out
of the same claim, so nothing that recovery needs is kept in memory.
"""

import asyncio
import os
import secrets
import socket
from contextlib import suppress

from loguru import logger

from services.core.background import cancel_all
from services.core.errors import LeaseLost
from services.durable.steps import DirectSteps
from services.jobs.engine import JobEngine
from services.jobs.routing import PlanRouter
from services.messaging.buttons import cancel_keyboard
from services.messaging.progress import edit_progress, queued_text
from storage.jobs.jobs import Job, claim_next_job, queued_jobs, release_job
from storage.jobs.journal import read_journal
from storage.pool import DATABASE_UNAVAILABLE

_POLL_SECONDS = 1.0
"""Seconds between looks at the table for what no poke announced: another process's jobs, lapsed leases."""
_POSITIONS_INTERVAL_SECONDS = 5.0
_MAX_POSITIONS = 10


class Worker:
    def __init__(
        self,
        engine: JobEngine,
        plans: PlanRouter,
        *,
        slots: int = 8,
        per_user_limit: int = 2,
        internal_slots: int = 4,
    ) -> None:
        self._engine = engine
        self._studio = engine.studio
        self._plans = plans
        self._slots = slots
        self._per_user_limit = per_user_limit
        self._internal_slots = internal_slots
        self._worker_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._wakeup = asyncio.Event()
        self._running: dict[asyncio.Task[None], Job] = {}

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @property
    def free_slots(self) -> int:
        """Slots for orders; errands have their own, so that films never hold up a thank-you."""
        return self._slots - sum(not job.internal for job in self._running.values())

    @property
    def _free_internal_slots(self) -> int:
        return self._internal_slots - sum(job.internal for job in self._running.values())

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._wakeup.set()

    async def run(self) -> None:
        """Take jobs and run them, for ever."""
        while True:
            self._wakeup.clear()
            try:
                while self.free_slots > 0 and (job := await self._claim()):
                    self.start_job(job)
                while self._free_internal_slots > 0 and (job := await self._claim(internal=True)):
                    self.start_job(job)
            except DATABASE_UNAVAILABLE as error:
                logger.warning("no jobs are taken, the database is away: {}", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), timeout=_POLL_SECONDS)

    async def show_queue_positions(self) -> None:
        """Keep telling those who wait how many are before them, for ever."""
        while True:
            await asyncio.sleep(_POSITIONS_INTERVAL_SECONDS)
            try:
                waiting = await queued_jobs(self._studio.db, limit=_MAX_POSITIONS)
            except DATABASE_UNAVAILABLE:
                continue  # run() says so
            for position, job in waiting:
                text = queued_text(self._studio, job, position)
                if self._studio.throttle.allow(job.id, text):
                    await edit_progress(self._studio, job, text, cancel_keyboard(self._studio.texts, job))

    @property
    def worker_id(self) -> str:
        """This process, as leases name it."""
        return self._worker_id

    def start_job(self, job: Job) -> None:
        """Run a job whose lease this process has taken already, at once and beyond the slots."""
        task = self._studio.background.spawn(self._run_job(job), f"job-{job.id}")
        self._running[task] = job
        task.add_done_callback(self._on_job_done)

    async def stop(self, seconds: float) -> None:
        """Let running jobs end for that long; hand the others over to whoever comes next."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        await cancel_all(list(self._running))

    def _on_job_done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self.wake()

    async def _claim(self, *, internal: bool = False) -> Job | None:
        return await claim_next_job(
            self._studio.db,
            self._worker_id,
            seconds=self._studio.lease_seconds,
            per_user_limit=self._per_user_limit,
            takeover_services=self._plans.takeover_services(),
            internal=internal,
        )

    async def _run_job(self, job: Job) -> None:
        db = self._studio.db
        logger.info("job {} {} runs on plan B, epoch {}", job.id, job.service, job.epoch)
        try:
            steps = DirectSteps(db, job, await read_journal(db, job.id), self._studio.pubsub)
            await self._engine.run_job(job, steps)
        except LeaseLost:
            logger.info("job {}: another runner has it now", job.id)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("job {} is left until its lease is over, the database is away: {}", job.id, error)
        except asyncio.CancelledError:
            logger.info("job {}: handed over", job.id)
            await asyncio.shield(release_job(db, job.id, job.epoch))
            raise
