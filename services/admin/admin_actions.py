"""What an admin can do about a user's order: run it again, cancel it, give its price back. Each once."""

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
"""The prefix of an order that the user placed again by the button under a result (handlers/order)."""


class ActionConflict(Exception):
    """The order is not in a state in which this can be done.

    Attributes:
        conflict: Why not.
        job: The newer order, where there is one.
    """

    def __init__(self, conflict: Conflict, job: Job | None = None) -> None:
        super().__init__(conflict)
        self.conflict = conflict
        self.job = job


@dataclass(frozen=True)
class OrderRefund:
    """A price that was given back.

    Attributes:
        credits: The price.
        notified: Whether the user was notified; the credits are back either way.
    """

    credits: int
    notified: bool


@dataclass(frozen=True)
class RelatedOrders:
    """How an order is related to others.

    Attributes:
        repeats: The order that this one repeats.
        repeated_by: The orders that repeat this one.
        retried: Whether an admin had this one run again, which can happen once.
    """

    repeats: Job | None
    repeated_by: list[Job]
    retried: bool


def refund_key(job_id: UUID) -> str:
    """The ledger's key of the one refund that a job can have."""
    return f"refund:{job_id}"


def refund_text(texts: Texts, job: Job, language: str) -> str:
    """What the user reads when an admin gives the price of an order back, as HTML."""
    text = texts.t(language, "intervention.refunded", job.price)
    return f"{headline(texts, replace(job, language=language))}\n{text}"


async def find_job(db: Executor, job_id: UUID) -> Job | None:
    """A job, whether it is an order or internal."""
    return await get_job(db, job_id)


async def find_related_orders(db: Executor, job: Job) -> RelatedOrders:
    """The orders that an order repeats or is repeated by, found by their order keys."""
    origin, _, number = job.order_key.partition(":")
    try:
        repeats = await get_job(db, UUID(number)) if origin in (_RETRY, _REORDER) else None
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
        messenger: Notifies the users.
        dispatcher: Takes the new order of a retry, and cancels orders.
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
            The new order.

        Raises:
            ActionConflict: It cannot be ordered again, or was; or the user is unreachable.
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
            The job as it was before.

        Raises:
            ActionConflict: It has ended, or its result is being delivered.
        """
        job = await self._get(job_id)
        if not await self.dispatcher.cancel(job.id, job.user_id):
            raise ActionConflict("too_late")
        logger.info("order cancelled by an admin", job=job.id, user=job.user_id, admin=admin_id)
        return job

    async def refund(self, job_id: UUID, admin_id: int) -> OrderRefund:
        """Give back the price of a job that succeeded, and notify the user.

        Args:
            job_id: The job.
            admin_id: The admin, for the log.

        Raises:
            ActionConflict: It cost nothing, or its price was given back before.
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
        """The language that the user has chosen by now."""
        user = await get_user(self.db, job.user_id)
        return user.language if user else job.language

    async def _return_price(self, job: Job) -> bool:
        """Move the price from our revenue to the user, once, and settle their debt first. False where it was done."""
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
        except InvalidRequest as error:  # a model or voice that was chosen then does not exist any more
            await self.messenger.delete_message(job.bot_name, job.chat_id, progress_message_id)
            raise ActionConflict("not_offered") from error
        if not accepted.is_new:  # another admin was faster, and their message shows the new order
            await self.messenger.delete_message(job.bot_name, job.chat_id, progress_message_id)
            raise ActionConflict("retried", accepted.job)
        return accepted

    async def _send_message(self, job: Job, text: str) -> int | None:
        """The message's id; None where it did not reach the user."""
        try:
            return await self.messenger.send_text(job.user_id, job.bot_name, text)
        except Failure as failure:
            logger.warning("message about an order not delivered", job=job.id, user=job.user_id, error=failure)
            return None

    async def _show_accepted(self, accepted: AcceptedOrder) -> None:
        """Turn the message into the new order's progress, unless its worker has shown some already."""
        texts, job = self.messenger.texts, accepted.job
        if accepted.waits_for_inngest:
            text = waiting_text(texts, job)
        else:
            text = queued_text(texts, job, accepted.queue_position)
        await show_waiting(self.messenger, job, text)


def _retry_key(job_id: UUID) -> str:
    """The order key of the one retry that a job can have."""
    return f"{_RETRY}:{job_id}"
