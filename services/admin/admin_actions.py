"""Admin actions on a user's order: retry it, cancel it or refund its price. Each can be done once per order."""

from dataclasses import dataclass, replace
from typing import Final, Literal
from uuid import UUID

from loguru import logger

from services.core.errors import Failure, InvalidRequest
from services.core.i18n import Texts
from services.dispatch import AcceptedOrder, Order, OrderDispatcher
from services.generation.registry import SERVICES
from services.ledger import credits as ledger
from services.messaging.messenger import Messenger
from services.messaging.progress import headline, queued_text, show_waiting, waiting_text
from storage.jobs.jobs import Job, get_job, get_job_by_order_key
from storage.money.ledger import transfer
from storage.pool import Executor, Pool
from storage.users.users import get_user

Conflict = Literal[
    "unknown",
    "internal",
    "not_failed",
    "retried",
    "not_offered",
    "unreachable",
    "too_late",
    "not_paid",
    "refunded",
]

_RETRY: Final = "retry"
_REORDER: Final = "again"
"""The order key prefix of orders that the user repeated with the button under a result (handlers/order)."""


class ActionConflict(Exception):
    """The action is not possible in the order's current state.

    Attributes:
        conflict: The reason.
        job: The order of the earlier retry, if that is the reason.
    """

    def __init__(self, conflict: Conflict, job: Job | None = None) -> None:
        super().__init__(conflict)
        self.conflict = conflict
        self.job = job


@dataclass(frozen=True)
class OrderRefund:
    """A refund of an order's price.

    Attributes:
        credits: The refunded price.
        notified: Whether the user was notified. The credits are returned either way.
    """

    credits: int
    notified: bool


@dataclass(frozen=True)
class RelatedOrders:
    """The orders related to an order.

    Attributes:
        repeats: The order that this one repeats, if any.
        repeated_by: The orders that repeat this one.
        retried: Whether an admin has retried this order, which is possible only once.
    """

    repeats: Job | None
    repeated_by: list[Job]
    retried: bool


def refund_key(job_id: UUID) -> str:
    """Return the ledger key of a job's refund. It is unique per job, so there can be only one."""
    return f"refund:{job_id}"


def refund_text(texts: Texts, job: Job, language: str) -> str:
    """Build the message that tells the user about the refund, as HTML."""
    text = texts.t(language, "intervention.refunded", job.price)
    return f"{headline(texts, replace(job, language=language))}\n{text}"


async def find_job(db: Executor, job_id: UUID) -> Job | None:
    """Return the job with this id, order or internal, or None."""
    return await get_job(db, job_id)


async def find_related_orders(db: Executor, job: Job) -> RelatedOrders:
    """Find the orders that this order repeats or is repeated by, from their order keys."""
    prefix, _, repeated_id = job.order_key.partition(":")
    try:
        repeats = await get_job(db, UUID(repeated_id)) if prefix in (_RETRY, _REORDER) else None
    except ValueError:
        repeats = None
    retry = await get_job_by_order_key(db, _retry_key(job.id))
    reorder = await get_job_by_order_key(db, f"{_REORDER}:{job.id}")
    return RelatedOrders(repeats, [each for each in (retry, reorder) if each is not None], retry is not None)


@dataclass(frozen=True)
class AdminActions:
    """Retries, cancels and refunds orders.

    Attributes:
        db: The database.
        messenger: Sends messages to users.
        dispatcher: Accepts the new order of a retry, and cancels orders.
    """

    db: Pool
    messenger: Messenger
    dispatcher: OrderDispatcher

    async def retry(self, job_id: UUID, admin_id: int) -> Job:
        """Order a failed or cancelled job again, free of charge.

        Args:
            job_id: The job.
            admin_id: The admin, for the log.

        Returns:
            The job of the new order.

        Raises:
            ActionConflict: The job cannot be ordered again or already was, or the user is unreachable.
        """
        job = await self._get(job_id)
        if job.state not in ("failed", "cancelled"):
            raise ActionConflict("not_failed")
        if job.service not in SERVICES:
            raise ActionConflict("not_offered")
        if existing := await get_job_by_order_key(self.db, _retry_key(job.id)):
            raise ActionConflict("retried", existing)
        language = await self._language(job)
        progress_message_id = await self._send_message(job, self.messenger.texts.t(language, "intervention.retry"))
        if progress_message_id is None:
            raise ActionConflict("unreachable")
        accepted = await self._reorder(job, language, progress_message_id)
        logger.info(
            "order retried by an admin", job=job.id, new_job=accepted.job.id, user=job.user_id, admin=admin_id
        )
        await self._show_accepted(accepted)
        return accepted.job

    async def cancel(self, job_id: UUID, admin_id: int) -> Job:
        """Cancel an open order.

        Args:
            job_id: The job.
            admin_id: The admin, for the log.

        Returns:
            The job as it was before the cancellation.

        Raises:
            ActionConflict: The job has ended, or its result is being delivered.
        """
        job = await self._get(job_id)
        if not await self.dispatcher.cancel(job.id, job.user_id):
            raise ActionConflict("too_late")
        logger.info("order cancelled by an admin", job=job.id, user=job.user_id, admin=admin_id)
        return job

    async def refund(self, job_id: UUID, admin_id: int) -> OrderRefund:
        """Refund the price of a job that succeeded, and notify the user.

        Args:
            job_id: The job.
            admin_id: The admin, for the log.

        Raises:
            ActionConflict: The job did not succeed, cost nothing or was refunded before.
        """
        job = await self._get(job_id)
        if job.state != "succeeded" or not job.price:
            raise ActionConflict("not_paid")
        if not await self._return_price(job):
            raise ActionConflict("refunded")
        logger.info("order refunded by an admin", job=job.id, user=job.user_id, admin=admin_id, credits=job.price)
        text = refund_text(self.messenger.texts, job, await self._language(job))
        return OrderRefund(job.price, await self._send_message(job, text) is not None)

    async def _get(self, job_id: UUID) -> Job:
        job = await get_job(self.db, job_id)
        if job is None:
            raise ActionConflict("unknown")
        if job.internal:
            raise ActionConflict("internal")
        return job

    async def _language(self, job: Job) -> str:
        """Return the user's current language."""
        user = await get_user(self.db, job.user_id)
        return user.language if user else job.language

    async def _return_price(self, job: Job) -> bool:
        """Return the price to the user, once, and use it to settle any debt. Returns False if this was done before."""
        async with self.db.acquire() as connection, connection.transaction():
            returned = await transfer(
                connection,
                key=refund_key(job.id),
                kind="refund_job",
                user_id=job.user_id,
                source="revenue",
                target="available",
                amount=job.price,
                job_id=job.id,
            )
            if returned:
                await ledger.settle_debt(connection, refund_key(job.id), job.user_id)
        return returned

    async def _reorder(self, job: Job, language: str, progress_message_id: int) -> AcceptedOrder:
        order = Order(
            key=_retry_key(job.id),
            service=job.service,
            inputs=job.inputs,
            user_id=job.user_id,
            bot_name=job.bot_name,
            chat_id=job.chat_id,
            language=language,
            progress_message_id=progress_message_id,
            free_of_charge=True,
        )
        try:
            accepted = await self.dispatcher.dispatch(order)
        except InvalidRequest as error:  # the chosen model or voice no longer exists
            await self.messenger.delete_message(job.bot_name, job.chat_id, progress_message_id)
            raise ActionConflict("not_offered") from error
        if not accepted.is_new:  # another admin was faster; their message shows the new order
            await self.messenger.delete_message(job.bot_name, job.chat_id, progress_message_id)
            raise ActionConflict("retried", accepted.job)
        return accepted

    async def _send_message(self, job: Job, text: str) -> int | None:
        """Return the message's id, or None if it did not reach the user."""
        try:
            return await self.messenger.send_text(job.user_id, job.bot_name, text)
        except Failure as failure:
            logger.warning("message about an order not delivered", job=job.id, user=job.user_id, error=failure)
            return None

    async def _show_accepted(self, accepted: AcceptedOrder) -> None:
        """Turn the message into the new order's progress message, unless its worker has already shown progress."""
        texts, job = self.messenger.texts, accepted.job
        if accepted.waits_for_inngest:
            text = waiting_text(texts, job)
        else:
            text = queued_text(texts, job, accepted.queue_position)
        await show_waiting(self.messenger, job, text)


def _retry_key(job_id: UUID) -> str:
    """Return the order key of a job's retry. It is unique per job, so there can be only one."""
    return f"{_RETRY}:{job_id}"
