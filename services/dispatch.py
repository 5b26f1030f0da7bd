"""Accepts every order: validates it, prices it, commits it and passes it to its plan. Read this first.

A handler calls `dispatch` and then answers the user. Once the transaction has committed, the order is never lost,
never charged twice and never made twice. On Plan A the publisher sends its event from the outbox
(jobs/outbox_publisher.py). On Plan B a worker claims it from the jobs table (jobs/worker.py). Both plans run
`JobEngine.run_job` (jobs/engine.py).
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
    """A confirmed order.

    Attributes:
        key: The order key. The same key never becomes a second job.
        service: The service's id.
        inputs: The input values, by input id.
        user_id: The user who orders.
        bot_name: The bot that took the order and will deliver the result.
        chat_id: The chat that gets the result.
        language: The user's language.
        progress_message_id: The progress message, if there is one.
        discount_percent: The discount of the user's subscription, in percent.
        free_of_charge: Whether an admin retries the order at no cost to the user.
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
    """An order that has been committed.

    Attributes:
        job: The order's job.
        is_new: False if the order had already been accepted.
        queue_position: The position in Plan B's queue, from 1; None if the order does not have to wait there.
        waits_for_inngest: Whether the order waits until Inngest is available again.
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
        providers: The providers, for the user options.
        router: Chooses the plan.
        worker: Runs Plan B jobs in this process.
        publisher: Sends the events of Plan A jobs.
        background: Runs tasks that the answer to the user does not wait for.
        lease_seconds: The length of the lease for cancelling an order.
    """

    db: Pool
    providers: Providers
    router: PlanRouter
    worker: Worker
    publisher: OutboxPublisher
    background: BackgroundTasks
    lease_seconds: float = 15.0

    async def dispatch(self, order: Order) -> AcceptedOrder:
        """Accept an order. It is committed when this returns.

        Args:
            order: The order.

        Returns:
            The accepted order, or the existing one if this order key was accepted before.

        Raises:
            InvalidRequest: An input is missing or its value is not allowed.
            InsufficientCredits: The user has too few credits.
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
        """Cancel a user's order, even if another worker has it.

        Args:
            job_id: The order's job.
            user_id: The user who ordered it.

        Returns:
            False if the order has ended, is already being cancelled or delivered, or belongs to another user.
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
        """Validate the order, price it and choose its plan. Raises InvalidRequest."""
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
        """Cancel the run at Inngest. If this fails, the run wakes up once more and ends by itself."""
        try:
            await self.router.plan_a.send_cancellation(job)
        except InngestUnavailable as error:
            logger.warning("cancellation not sent to Inngest", job=job.id, error=error)
