"""What an admin can do about somebody's order: have it made again, stop it, give its price back. Each once."""

from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from aiogram.exceptions import TelegramAPIError
from loguru import logger

from services.core.errors import Failure, InvalidRequest
from services.dispatch import AcceptedOrder, Order, OrderDispatcher
from services.generation.registry import SERVICES
from services.ledger import credits as ledger
from services.messaging.app_context import AppContext
from services.messaging.buttons import cancel_keyboard
from services.messaging.delivery import send_if_reachable
from services.messaging.progress import edit_progress, headline, queued_text, waiting_text
from storage.jobs.jobs import Job, get_job, get_job_by_order_key
from storage.money.ledger import transfer
from storage.users.users import get_user

Conflict = Literal[
    "unknown", "errand", "not_failed", "retried", "not_offered", "unreachable", "too_late", "not_paid", "refunded"
]


class ActionConflict(Exception):
    """The order is not in a state for this; `conflict` says why, `job` is the newer order where there is one."""

    def __init__(self, conflict: Conflict, job: Job | None = None) -> None:
        super().__init__(conflict)
        self.conflict = conflict
        self.job = job


@dataclass(frozen=True)
class OrderRefund:
    """`told` is False where the person could not be reached; the Stars are back all the same."""

    credits: int
    notified: bool


def retry_key(job_id: UUID) -> str:
    """The order key of the one retry that a job can have."""
    return f"retry:{job_id}"


def refund_key(job_id: UUID) -> str:
    """The ledger's key of the one refund that a job can have."""
    return f"refund:{job_id}"


@dataclass(frozen=True)
class AdminActions:
    dispatcher: OrderDispatcher

    @property
    def _studio(self) -> AppContext:
        return self.dispatcher.studio

    async def retry(self, job_id: UUID, admin_id: int) -> Job:
        """Order a failed or cancelled job anew, on the house. Raises CannotIntervene."""
        job = await self._get(job_id)
        if job.state not in ("failed", "cancelled"):
            raise ActionConflict("not_failed")
        if job.service not in SERVICES:
            raise ActionConflict("not_offered")
        if existing := await get_job_by_order_key(self._studio.db, retry_key(job.id)):
            raise ActionConflict("retried", existing)
        language = await self._language(job)
        progress_message_id = await self._send_message(job, self._studio.texts.t(language, "intervention.retry"))
        if progress_message_id is None:
            raise ActionConflict("unreachable")
        accepted = await self._reorder(job, language, progress_message_id)
        logger.info("admin {} has job {} made again as {}", admin_id, job.id, accepted.job.id)
        await self._show_accepted(accepted)
        return accepted.job

    async def cancel(self, job_id: UUID, admin_id: int) -> Job:
        """Stop an open job for its person. Raises CannotIntervene."""
        job = await self._get(job_id)
        if not await self.dispatcher.cancel(job.id, job.user_id):
            raise ActionConflict("too_late")
        logger.info("admin {} stopped job {} of {}", admin_id, job.id, job.user_id)
        return job

    async def refund(self, job_id: UUID, admin_id: int) -> OrderRefund:
        """Give back the price of a job that succeeded, and tell the person. Raises CannotIntervene."""
        job = await self._get(job_id)
        if job.state != "succeeded" or not job.price:
            raise ActionConflict("not_paid")
        if not await self._return_price(job):
            raise ActionConflict("refunded")
        logger.info("admin {} gave back {} Stars of job {} to {}", admin_id, job.price, job.id, job.user_id)
        message_id = await self._send_message(job, refund_text(self._studio, job, await self._language(job)))
        return OrderRefund(job.price, message_id is not None)

    async def _get(self, job_id: UUID) -> Job:
        job = await get_job(self._studio.db, job_id)
        if job is None:
            raise ActionConflict("unknown")
        if job.internal:
            raise ActionConflict("errand")
        return job

    async def _language(self, job: Job) -> str:
        """What the person speaks by now."""
        user = await get_user(self._studio.db, job.user_id)
        return user.language if user else job.language

    async def _return_price(self, job: Job) -> bool:
        """The price goes from our revenue to the person, once, and pays first what they owe. False when it was
        given back before."""
        async with self._studio.db.acquire() as connection, connection.transaction():
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
            key=retry_key(job.id),
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
        except (
            InvalidRequest
        ) as error:  # what was chosen then is not there any more: a model of their own, a voice
            await self._delete_message(job, progress_message_id)
            raise ActionConflict("not_offered") from error
        if not accepted.is_new:  # another admin was quicker, and their message shows the new order
            await self._delete_message(job, progress_message_id)
            raise ActionConflict("retried", accepted.job)
        return accepted

    async def _send_message(self, job: Job, text: str) -> int | None:
        """The message's id; None where nothing reaches the person now."""
        try:
            sent = await send_if_reachable(self._studio, job, lambda bot: bot.send_message(job.chat_id, text))
        except Failure as failure:
            logger.warning("job {}: person {} was not told: {}", job.id, job.user_id, failure)
            return None
        return sent.message_id if sent else None

    async def _delete_message(self, job: Job, message_id: int) -> None:
        try:
            await self._studio.bot_or_default(job.bot_name).delete_message(job.chat_id, message_id)
        except TelegramAPIError as error:
            logger.warning("job {}: message {} was not taken back: {}", job.id, message_id, error.message)

    async def _show_accepted(self, accepted: AcceptedOrder) -> None:
        """Turn the message into the new order's progress, unless its runner has begun to tell."""
        studio, job = self._studio, accepted.job
        text = (
            waiting_text(studio, job)
            if accepted.waits_for_inngest
            else queued_text(studio, job, accepted.queue_position)
        )
        if studio.throttle.allow(job.id, text):
            await edit_progress(studio, job, text, cancel_keyboard(studio.texts, job))


def refund_text(studio: AppContext, job: Job, language: str) -> str:
    """What the person reads when an admin gives the price of an order back."""
    text = studio.texts.t(language, "intervention.refunded", job.price)
    return f"{headline(studio, replace(job, language=language))}\n{text}"
