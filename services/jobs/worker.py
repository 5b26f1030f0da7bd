"""Plan B's worker: runs jobs in this process, with limits on how many run at once in total and per user.

The jobs table is the queue. New orders, jobs of a dead process and jobs released by Plan A are all found by the same
claim, so recovery needs nothing that is kept in memory.
"""

import asyncio
import os
import secrets
import socket
from functools import partial
from typing import Final

from loguru import logger

from services.core.background import BackgroundTasks, cancel_all
from services.core.errors import LeaseLost
from services.durable.pubsub import PubSub
from services.durable.steps import DirectSteps
from services.jobs.engine import JobEngine, job_log_context
from services.jobs.routing import PlanRouter
from services.messaging.progress import queued_text, show_waiting
from storage.jobs.jobs import Job, claim_next_job, queued_jobs, release_job
from storage.jobs.journal import read_journal
from storage.pool import DATABASE_UNAVAILABLE

_POLL_SECONDS: Final = 1.0
"""Seconds between claims without a wake-up, which find jobs from other processes and expired leases."""
_POSITIONS_SECONDS: Final = 5.0
"""Seconds between updates of the queue positions."""
_MAX_POSITIONS: Final = 10


class Worker:
    """Claims Plan B jobs and runs them.

    Args:
        engine: Runs a job.
        router: Tells which services' jobs may be taken over from Plan A.
        pubsub: Wakes jobs that wait for an external event.
        slots: The most orders run at once by this process.
        per_user_limit: The most orders of one user run at once, across all processes.
        internal_slots: The most internal jobs run at once by this process. They have separate slots, so that videos
            never hold up notifications.
    """

    def __init__(
        self,
        engine: JobEngine,
        router: PlanRouter,
        pubsub: PubSub,
        *,
        slots: int = 8,
        per_user_limit: int = 2,
        internal_slots: int = 4,
    ) -> None:
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._engine = engine
        self._db = engine.db
        self._router = router
        self._pubsub = pubsub
        self._slots = slots
        self._per_user_limit = per_user_limit
        self._internal_slots = internal_slots
        self._wakeup = asyncio.Event()
        self._running: dict[asyncio.Task[None], Job] = {}

    @property
    def in_flight(self) -> int:
        """The number of jobs running in this process."""
        return len(self._running)

    @property
    def free_slots(self) -> int:
        """The number of orders that this process could start now."""
        return self._slots - sum(not job.internal for job in self._running.values())

    @property
    def _free_internal_slots(self) -> int:
        return self._internal_slots - sum(job.internal for job in self._running.values())

    def start(self, tasks: BackgroundTasks) -> None:
        """Start claiming jobs, and showing waiting users their queue positions."""
        tasks.run_periodically(self.claim_jobs, "worker", seconds=_POLL_SECONDS, wakeup=self._wakeup)
        tasks.run_periodically(self.show_queue_positions, "queue positions", seconds=_POSITIONS_SECONDS)

    def wake(self) -> None:
        """Signal that there may be a job to claim."""
        self._wakeup.set()

    async def claim_jobs(self) -> None:
        """Claim and start jobs until the slots are full or no job is waiting."""
        claim = partial(
            claim_next_job,
            self._db,
            self.worker_id,
            seconds=self._engine.lease_seconds,
            per_user_limit=self._per_user_limit,
            takeover_services=self._router.takeover_services(),
        )
        while self.free_slots > 0 and (job := await claim(internal=False)):
            self.start_job(job)
        while self._free_internal_slots > 0 and (job := await claim(internal=True)):
            self.start_job(job)

    async def show_queue_positions(self) -> None:
        """Show the users at the front of the queue their positions."""
        messenger = self._engine.messenger
        for position, job in await queued_jobs(self._db, limit=_MAX_POSITIONS):
            await show_waiting(messenger, job, queued_text(messenger.texts, job, position))

    def start_job(self, job: Job) -> None:
        """Run a job whose lease this worker holds, at once and regardless of free slots."""
        task = self._engine.background.spawn(self._run_job(job), f"job-{job.id}")
        self._running[task] = job
        task.add_done_callback(self._on_job_done)

    async def stop(self, seconds: float) -> None:
        """Wait up to `seconds` for running jobs to end, then release the rest to other workers."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        await cancel_all(list(self._running))

    def _on_job_done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self.wake()

    async def _run_job(self, job: Job) -> None:
        with job_log_context(job):
            await self._run_claimed_job(job)

    async def _run_claimed_job(self, job: Job) -> None:
        logger.info("job claimed", epoch=job.epoch)
        try:
            steps = DirectSteps(self._db, job, await read_journal(self._db, job.id), self._pubsub)
            await self._engine.run_job(job, steps)
        except LeaseLost:
            logger.info("job taken over by another worker", epoch=job.epoch)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("job left until its lease ends, database unavailable", error=error)
        except asyncio.CancelledError:
            logger.info("job released, process is stopping")
            await asyncio.shield(release_job(self._db, job.id, job.epoch))
            raise
