"""Brings accepted orders to Inngest, out of the outbox; to Plan B where Inngest is away and the mode allows.

Sending is nobody's to wait for: the person was answered when the order was committed.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from loguru import logger

from services.jobs.routing import PlanAAway, Plans
from services.jobs.worker import Queue
from services.messaging.app_context import Studio
from services.messaging.buttons import stop_keyboard
from services.messaging.progress import edit_progress, waiting_text
from storage.jobs.jobs import Job, count_silent, move_to_plan_b, send_lost_again, take_unbegun, wait_for_plan_a
from storage.jobs.outbox import claim_outbox, remove_from_outbox, send_later
from storage.pool import DATABASE_AWAY

_LOOK_EVERY = 1.0
_CLAIM_SECONDS = 5.0
_BATCH = 50
_AGAIN_SECONDS = 2.0
_TRUSTED = 10.0
"""Seconds for which an answered ping explains unbegun jobs: Inngest's own limits hold them back."""
_DOUBT_AFTER = 3.0
"""Seconds after which an accepted job that was not begun raises the question whether Inngest runs anything."""


class Relay:
    """`start_within` is the seconds Inngest has to begin an accepted job before Plan B takes it over."""

    def __init__(self, studio: Studio, plans: Plans, queue: Queue, *, start_within: float = 30.0) -> None:
        self._studio = studio
        self._db = studio.db
        self._plans = plans
        self._queue = queue
        self.start_within = start_within
        self._wake = asyncio.Event()
        self._trusted_until = 0.0

    def poke(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Send what is in the outbox, for ever."""
        while True:
            self._wake.clear()
            try:
                await self._send_lost_again()
                while jobs := await claim_outbox(self._db, seconds=_CLAIM_SECONDS, limit=_BATCH):
                    await self._bring(jobs)
            except DATABASE_AWAY as error:
                logger.warning("the outbox is not sent, the database is away: {}", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout=_LOOK_EVERY)

    async def _send_lost_again(self) -> None:
        kept = [service for service in self._plans.services if self._plans.mode(service) == "a"]
        if not kept or not self._plans.plan_a.healthy:
            return
        if count := await send_lost_again(self._db, kept, seconds=self.start_within):
            logger.warning("Inngest lost {} jobs; they are sent again", count)

    async def doubt(self) -> None:
        """Keep an eye on what Inngest has accepted, for ever. A loop of its own, as it waits for a ping."""
        while True:
            with suppress(*DATABASE_AWAY):  # run() says so
                await self._doubt_inngest()
            await asyncio.sleep(min(_LOOK_EVERY, self.start_within / 4))

    async def _doubt_inngest(self) -> None:
        """Inngest may take events and run nothing: then nobody has to wait for a job's time to be over."""
        plan_a, loop = self._plans.plan_a, asyncio.get_running_loop()
        if not plan_a.healthy or loop.time() < self._trusted_until:
            return
        left = self.start_within - min(_DOUBT_AFTER, self.start_within / 3)
        if not await count_silent(self._db, seconds_left=left):
            return
        if await plan_a.runs_something():
            self._trusted_until = loop.time() + min(_TRUSTED, self.start_within)
            return
        if count := await take_unbegun(self._db, self._plans.may_take_over()):
            logger.warning("Inngest runs nothing; {} jobs it had accepted go to plan B", count)
            self._queue.poke()

    async def _bring(self, jobs: Sequence[Job]) -> None:
        ready = [job for job in jobs if self._plans.choose(job.service) == "A" and self._plans.plan_a.healthy]
        if ready and await self._send(ready):
            await self._sent([job.id for job in ready])
            jobs = [job for job in jobs if job not in ready]
        waiting = [job for job in jobs if self._plans.mode(job.service) == "a"]
        others = [job.id for job in jobs if self._plans.mode(job.service) != "a"]
        if waiting:
            await send_later(self._db, [job.id for job in waiting], seconds=_AGAIN_SECONDS)
            await self._say_that_it_waits(waiting)
        if others:
            await self._fall_back(others)

    async def _say_that_it_waits(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            text = waiting_text(self._studio, job)
            if job.state == "queued" and self._studio.clock.may_show(job.id, text):
                await edit_progress(self._studio, job, text, stop_keyboard(self._studio.texts, job))

    async def _send(self, jobs: Sequence[Job]) -> bool:
        try:
            await self._plans.plan_a.send(jobs)
        except PlanAAway as error:
            logger.warning("Inngest did not take {} jobs: {}", len(jobs), error)
            return False
        return True

    async def _sent(self, job_ids: Sequence[UUID]) -> None:
        async with self._db.acquire() as connection, connection.transaction():
            await wait_for_plan_a(connection, job_ids, seconds=self.start_within)
            await remove_from_outbox(connection, job_ids)

    async def _fall_back(self, job_ids: Sequence[UUID]) -> None:
        async with self._db.acquire() as connection, connection.transaction():
            fell_back = [service for service in self._plans.services if self._plans.falls_back(service)]
            await move_to_plan_b(connection, job_ids, fell_back=fell_back)
            await remove_from_outbox(connection, job_ids)
        logger.info("{} jobs go to plan B", len(job_ids))
        self._queue.poke()
