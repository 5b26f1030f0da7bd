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

from services.core.background import end_all
from services.core.errors import LeaseLost
from services.durable.steps import DirectSteps
from services.jobs.engine import JobEngine
from services.jobs.routing import Plans
from services.messaging.buttons import stop_keyboard
from services.messaging.progress import edit_progress, queued_text
from storage.jobs.jobs import Job, claim_next_job, hand_over_job, waiting_jobs
from storage.jobs.journal import read_journal
from storage.pool import DATABASE_AWAY

_LOOK_EVERY = 1.0
"""Seconds between looks at the table for what no poke announced: another process's jobs, lapsed leases."""
_PLACES_EVERY = 5.0
_PLACES_SHOWN = 10


class Queue:
    def __init__(
        self, engine: JobEngine, plans: Plans, *, slots: int = 8, per_person: int = 2, errand_slots: int = 4
    ) -> None:
        self._engine = engine
        self._studio = engine.studio
        self._plans = plans
        self._slots = slots
        self._per_person = per_person
        self._errand_slots = errand_slots
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], Job] = {}

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @property
    def free(self) -> int:
        """Slots for orders; errands have their own, so that films never hold up a thank-you."""
        return self._slots - sum(not job.errand for job in self._running.values())

    @property
    def _free_for_errands(self) -> int:
        return self._errand_slots - sum(job.errand for job in self._running.values())

    def poke(self) -> None:
        """Say that there may be something to do."""
        self._wake.set()

    async def run(self) -> None:
        """Take jobs and run them, for ever."""
        while True:
            self._wake.clear()
            try:
                while self.free > 0 and (job := await self._claim()):
                    self.adopt(job)
                while self._free_for_errands > 0 and (job := await self._claim(errands=True)):
                    self.adopt(job)
            except DATABASE_AWAY as error:
                logger.warning("no jobs are taken, the database is away: {}", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout=_LOOK_EVERY)

    async def show_places(self) -> None:
        """Keep telling those who wait how many are before them, for ever."""
        while True:
            await asyncio.sleep(_PLACES_EVERY)
            try:
                waiting = await waiting_jobs(self._studio.db, limit=_PLACES_SHOWN)
            except DATABASE_AWAY:
                continue  # run() says so
            for place, job in waiting:
                text = queued_text(self._studio, job, place)
                if self._studio.clock.may_show(job.id, text):
                    await edit_progress(self._studio, job, text, stop_keyboard(self._studio.texts, job))

    @property
    def holder(self) -> str:
        """This process, as leases name it."""
        return self._holder

    def adopt(self, job: Job) -> None:
        """Run a job whose lease this process has taken already, at once and beyond the slots."""
        task = self._studio.background.spawn(self._work(job), f"job-{job.id}")
        self._running[task] = job
        task.add_done_callback(self._ended)

    async def stop(self, seconds: float) -> None:
        """Let running jobs end for that long; hand the others over to whoever comes next."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        await end_all(list(self._running))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self.poke()

    async def _claim(self, *, errands: bool = False) -> Job | None:
        return await claim_next_job(
            self._studio.db,
            self._holder,
            seconds=self._studio.lease_seconds,
            per_person=self._per_person,
            take_over=self._plans.may_take_over(),
            errands=errands,
        )

    async def _work(self, job: Job) -> None:
        db = self._studio.db
        logger.info("job {} {} runs on plan B, epoch {}", job.id, job.service, job.epoch)
        try:
            steps = DirectSteps(db, job, await read_journal(db, job.id), self._studio.signals)
            await self._engine.run_job(job, steps)
        except LeaseLost:
            logger.info("job {}: another runner has it now", job.id)
        except DATABASE_AWAY as error:
            logger.warning("job {} is left until its lease is over, the database is away: {}", job.id, error)
        except asyncio.CancelledError:
            logger.info("job {}: handed over", job.id)
            await asyncio.shield(hand_over_job(db, job.id, job.epoch))
            raise
