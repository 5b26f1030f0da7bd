"""The way every order goes: check it, price it, commit it, and let its plan have it.

Read this first. A handler calls `dispatch` and answers the person; from the commit on, the order is never
lost, never charged twice and never made twice. Plan A's event goes out of the outbox (relay.py); Plan B's
job is taken from the jobs table (queue.py); both run `run_job` (jobs.py).
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from loguru import logger

from services.core.errors import InsufficientCredits
from services.generation.context import UserCatalogue
from services.generation.registry import SERVICES
from services.jobs.enqueue import new_job_id
from services.jobs.outbox_publisher import OutboxPublisher
from services.jobs.routing import InngestUnavailable, PlanRouter
from services.jobs.worker import Worker
from services.ledger import credits as ledger
from services.ledger.pricing import discounted
from services.messaging.app_context import AppContext
from storage.jobs.jobs import Job, NewJob, claim_for_cancellation, get_job_by_order_key, insert_job, queue_position
from storage.jobs.outbox import add_to_outbox
from storage.money.ledger import BalanceTooLow, get_balance


@dataclass(frozen=True)
class Order:
    """What a person asks for. `key` names the order: the same key never becomes a second job."""

    key: str
    service: str
    inputs: dict[str, Any]
    user_id: int
    bot_name: str
    chat_id: int
    language: str
    progress_message_id: int | None = None
    discount_percent: int = 0
    """Percent off, by the person's subscription."""
    free_of_charge: bool = False
    """An admin has it made again: it costs the person nothing."""


@dataclass(frozen=True)
class AcceptedOrder:
    """`new` is False where this order had become a job before. `place` is its place in Plan B's queue, if it
    has to wait there; `waits` says that it waits for Plan A to come back."""

    job: Job
    is_new: bool
    queue_position: int | None = None
    waits_for_inngest: bool = False


@dataclass(frozen=True)
class OrderDispatcher:
    studio: AppContext
    plans: PlanRouter
    worker: Worker
    publisher: OutboxPublisher

    async def dispatch(self, order: Order) -> AcceptedOrder:
        """Accept an order: when this returns, it is committed. Raises Refused, NotEnough."""
        spec = SERVICES[order.service]
        user_options = await spec.user_options(UserCatalogue(self.studio.db, self.studio.providers, order.user_id))
        inputs = spec.validate(order.inputs, user_options)
        new = NewJob(
            id=new_job_id(),
            order_key=order.key,
            service=spec.id,
            user_id=order.user_id,
            bot_name=order.bot_name,
            chat_id=order.chat_id,
            progress_message_id=order.progress_message_id,
            language=order.language,
            inputs=inputs,
            price=0 if order.free_of_charge else discounted(spec.price(inputs), order.discount_percent),
            plan=self.plans.choose_plan(spec.id),
            start_timeout=self.publisher.start_timeout,
            summary=spec.summary(inputs, user_options),
            fell_back=self.plans.falls_back(spec.id),
        )
        job = await self._commit(new)
        if job is None:
            existing = await get_job_by_order_key(self.studio.db, order.key)
            assert existing is not None  # noqa: S101 - jobs are never deleted
            return AcceptedOrder(existing, is_new=False)
        logger.info("job {} {} accepted from {} for plan {}", job.id, job.service, job.user_id, job.plan)
        if job.plan == "A":
            self.publisher.wake()
            return AcceptedOrder(job, is_new=True, waits_for_inngest=self.plans.waits_for_inngest(spec.id))
        position = None if self.worker.free_slots > 0 else await queue_position(self.studio.db, job.id)
        self.worker.wake()
        return AcceptedOrder(job, is_new=True, queue_position=position)

    async def cancel(self, job_id: UUID, user_id: int) -> bool:
        """Cancel a person's order, whoever works on it. False when it has ended, or its result is on the way."""
        async with self.studio.db.acquire() as connection, connection.transaction():
            job = await claim_for_cancellation(
                connection, job_id, user_id, self.worker.worker_id, seconds=self.studio.lease_seconds
            )
        if job is None:
            return False
        logger.info("job {} {} is stopped by {}", job.id, job.service, user_id)
        self.worker.start_job(job)
        if self.plans.plan_a.healthy:
            self.studio.background.spawn(self._cancel_inngest_run(job), f"cancel-{job.id}")
        return True

    async def _cancel_inngest_run(self, job: Job) -> None:
        """Inngest cancels the run; without that it would wake up once more and end by itself."""
        try:
            await self.plans.plan_a.send_cancellation(job)
        except InngestUnavailable as error:
            logger.info("job {}: Inngest was not told that it is stopped: {}", job.id, error)

    async def _commit(self, new: NewJob) -> Job | None:
        """The job, its hold and its outbox row, or nothing of them. None for an order that was taken before."""
        try:
            async with self.studio.db.acquire() as connection, connection.transaction():
                job = await insert_job(connection, new)
                if job is not None:
                    await ledger.hold(connection, new)
                    if new.plan == "A":
                        await add_to_outbox(connection, new.id)
        except BalanceTooLow as error:
            balance = await get_balance(self.studio.db, new.user_id)
            raise InsufficientCredits(price=new.price, available=balance.available) from error
        return job
