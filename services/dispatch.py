"""How every order is accepted: validate it, price it, commit it, and hand it to its plan. Read this first.

A handler calls `dispatch` and answers the user. From the commit on the order is never lost, never charged twice and
never made twice. On Plan A its event goes out of the outbox (jobs/outbox_publisher.py); on Plan B a worker claims it
from the jobs table (jobs/worker.py). Both run `JobEngine.run_job` (jobs/engine.py).
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from loguru import logger

from services.core.background import BackgroundTasks
from services.core.errors import InsufficientCredits
from services.generation.context import Providers, UserCatalogue
from services.generation.registry import SERVICES
from services.jobs.internal_jobs import new_job_id
from services.jobs.outbox_publisher import OutboxPublisher
from services.jobs.routing import InngestUnavailable, PlanRouter
from services.jobs.worker import Worker
from services.ledger import credits as ledger
from services.ledger.pricing import discounted
from storage.jobs.jobs import Job, NewJob, claim_for_cancellation, get_job_by_order_key, insert_job, queue_position
from storage.jobs.outbox import add_to_outbox
from storage.money.ledger import BalanceTooLow, get_balance
from storage.pool import Pool


@dataclass(frozen=True)
class Order:
    """What a user confirmed.

    Attributes:
        key: Names the order: the same key never becomes a second job.
        service: The service's id.
        inputs: The values of its inputs, by their ids.
        user_id: Who orders.
        bot_name: The bot that they ordered from, which answers them.
        chat_id: Where the result goes.
        language: The user's language.
        progress_message_id: The message that shows how far the order is.
        discount_percent: The discount of the user's subscription.
        free_of_charge: Whether an admin reorders it at no cost to the user.
    """

    key: str
    service: str
    inputs: dict[str, Any]
    user_id: int
    bot_name: str
    chat_id: int
    language: str
    progress_message_id: int | None = None
    discount_percent: int = 0
    free_of_charge: bool = False


@dataclass(frozen=True)
class AcceptedOrder:
    """An order after its commit.

    Attributes:
        job: The job that it became.
        is_new: False where this order had become a job before.
        queue_position: Its place in Plan B's queue, from 1, where it has to wait there.
        waits_for_inngest: Whether it waits until Inngest is available again.
    """

    job: Job
    is_new: bool
    queue_position: int | None = None
    waits_for_inngest: bool = False


@dataclass(frozen=True)
class OrderDispatcher:
    """Accepts and cancels orders.

    Attributes:
        db: The database.
        providers: Where a user's own options come from.
        router: Chooses the plan.
        worker: Runs Plan B's jobs in this process.
        publisher: Publishes Plan A's jobs.
        background: Runs what the answer does not wait for.
        lease_seconds: How long this process may take to cancel an order.
    """

    db: Pool
    providers: Providers
    router: PlanRouter
    worker: Worker
    publisher: OutboxPublisher
    background: BackgroundTasks
    lease_seconds: float = 15.0

    async def dispatch(self, order: Order) -> AcceptedOrder:
        """Accept an order. When this returns, it is committed.

        Args:
            order: What the user confirmed.

        Returns:
            The accepted order; the earlier one where this order was accepted before.

        Raises:
            InvalidRequest: An input is missing, or its value is not offered.
            InsufficientCredits: The user cannot pay for it.
        """
        new = await self._new_job(order)
        try:
            async with self.db.acquire() as connection, connection.transaction():
                job = await insert_job(connection, new)
                if job is not None:
                    await ledger.hold(connection, new)
                    if new.plan == "A":
                        await add_to_outbox(connection, new.id)
        except BalanceTooLow as error:
            balance = await get_balance(self.db, new.user_id)
            raise InsufficientCredits(price=new.price, available=balance.available) from error
        if job is None:
            existing = await get_job_by_order_key(self.db, order.key)
            assert existing is not None  # noqa: S101 - jobs are never deleted
            return AcceptedOrder(existing, is_new=False)
        logger.info("job accepted", job=job.id, service=job.service, user=job.user_id, plan=job.plan)
        if job.plan == "A":
            self.publisher.wake()
            return AcceptedOrder(job, is_new=True, waits_for_inngest=self.router.waits_for_inngest(job.service))
        position = None if self.worker.free_slots > 0 else await queue_position(self.db, job.id)
        self.worker.wake()
        return AcceptedOrder(job, is_new=True, queue_position=position)

    async def cancel(self, job_id: UUID, user_id: int) -> bool:
        """Cancel a user's order, whichever worker has it.

        Returns:
            False where it has ended, or its result is being sent.
        """
        async with self.db.acquire() as connection, connection.transaction():
            job = await claim_for_cancellation(
                connection, job_id, user_id, self.worker.worker_id, seconds=self.lease_seconds
            )
        if job is None:
            return False
        logger.info("job is being cancelled", job=job.id, service=job.service, user=user_id, plan=job.plan)
        self.worker.start_job(job)
        if self.router.plan_a.healthy:
            self.background.spawn(self._cancel_inngest_run(job), f"cancel-{job.id}")
        return True

    async def _new_job(self, order: Order) -> NewJob:
        """Validate and price an order, and choose its plan. Raises InvalidRequest."""
        spec = SERVICES[order.service]
        user_options = await spec.user_options(UserCatalogue(self.db, self.providers, order.user_id))
        inputs = spec.validate(order.inputs, user_options)
        return NewJob(
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
            plan=self.router.choose_plan(spec.id),
            start_timeout=self.publisher.start_timeout,
            summary=spec.summary(inputs, user_options),
            fell_back=self.router.falls_back(spec.id),
        )

    async def _cancel_inngest_run(self, job: Job) -> None:
        """Inngest cancels the run; without that it would wake up once more and end by itself."""
        try:
            await self.router.plan_a.send_cancellation(job)
        except InngestUnavailable as error:
            logger.warning("cancellation not sent to Inngest", job=job.id, error=error)
