"""Refunds in Stars: requested once, tried until Telegram has made them, and taken out of the ledger once."""

from dataclasses import dataclass
from typing import Final, Literal

from loguru import logger

from services.ledger import credits as ledger
from services.messaging.stars import RefundDelayed, RefundRefused, StarsApi, StarsError
from services.notifications.admins import AdminNotifier
from services.notifications.notices import LocalizedLine
from services.notifications.notify import notify
from storage.money.ledger import get_balance
from storage.money.payments import Payment, get_payment, mark_refunded
from storage.money.refunds import DueRefund, claim_refunds, finish_refund, postpone_refund, request_refund
from storage.money.subscriptions import end_refunded_subscription
from storage.pool import Executor, Pool

_CLAIM_SECONDS: Final = 60.0
_BATCH_SIZE: Final = 10
_MAX_RETRY_SECONDS: Final = 600.0
_MAX_RETRY_EXPONENT: Final = 10

RefundRequestResult = Literal["asked", "asked_before", "refunded", "unknown"]
"""What became of a request: made now, made before, done already, no such payment. Also the end of a locale key."""


@dataclass(frozen=True)
class RefundPreview:
    """What a refund of a payment would do now, in credits.

    Credits do not carry the payment that they came from, and what open orders hold cannot be taken.

    Attributes:
        recoverable: What would be taken back.
        owed: What would become a debt.
        held: What open orders hold.
        bonus: How much of it came as the bonus of a subscription.
    """

    recoverable: int
    owed: int
    held: int
    bonus: int


@dataclass(frozen=True)
class Refunds:
    """Refunds payments.

    Attributes:
        db: The database.
        stars: Telegram Stars.
        admins: Notifies the admins of what became of a refund.
    """

    db: Pool
    stars: StarsApi
    admins: AdminNotifier

    async def preview(self, payment: Payment) -> RefundPreview:
        """Compute what a refund of this payment would do now."""
        balance = await get_balance(self.db, payment.user_id)
        bonus = await ledger.subscription_bonus(self.db, payment.id, payment.user_id)
        recoverable = min(balance.available, payment.stars + bonus)
        return RefundPreview(recoverable, payment.stars + bonus - recoverable, balance.held, bonus)

    async def request(self, charge_id: str, admin_id: int) -> RefundRequestResult:
        """Request a refund, once. From then on it is tried until Telegram has made it, and admins are notified.

        A refund that Telegram refused may be requested again.

        Args:
            charge_id: Telegram's id of the payment.
            admin_id: The admin who requests it.
        """
        if await request_refund(self.db, charge_id, requested_by=admin_id):
            logger.info("refund requested", payment=charge_id, admin=admin_id)
            return "asked"
        payment = await get_payment(self.db, charge_id)
        if payment is None:
            return "unknown"
        return "refunded" if payment.refunded_at else "asked_before"

    async def process_due(self) -> None:
        """Make the refunds that are due: one pass, called again and again.

        A refund is claimed for a minute, so that another process takes it over if this one dies.
        """
        for refund in await claim_refunds(self.db, seconds=_CLAIM_SECONDS, limit=_BATCH_SIZE):
            await self._process(refund)

    async def handle_external(self, charge_id: str) -> None:
        """Take back the credits of a payment that Telegram reports as refunded, by us or elsewhere.

        Args:
            charge_id: Telegram's id of the payment.
        """
        payment = await get_payment(self.db, charge_id)
        if payment is None:
            logger.error("refunded payment is unknown", payment=charge_id)
        else:
            await self.claw_back(payment)

    async def claw_back(self, payment: Payment) -> bool:
        """Take back the credits of a refunded payment, once; credits that are spent already become a debt.

        A subscription that the payment was for ends now.

        Args:
            payment: A payment that Telegram has refunded.

        Returns:
            False where this was done before.
        """
        async with self.db.acquire() as connection, connection.transaction():
            owed = await ledger.claw_back(connection, payment.id, payment.user_id, payment.stars)
            await mark_refunded(connection, payment.id)
            requested_by = await finish_refund(connection, payment.id)
            first_charge_id = await end_refunded_subscription(connection, payment.id) if owed is not None else None
            if owed is not None:
                await _notify_user(connection, payment)
        if owed is None:
            return False
        if first_charge_id is not None:
            await self._cancel_renewal(payment, first_charge_id)
        logger.info("payment refunded", payment=payment.id, user=payment.user_id, stars=payment.stars, owed=owed)
        await self.admins.notify(
            "refund.owed" if owed else "refund.done", stars=payment.stars, user=payment.user_id, owed=owed,
            by=requested_by or 0, dedup_key=f"refund:{payment.id}",
        )  # fmt: skip
        return True

    async def _cancel_renewal(self, payment: Payment, first_charge_id: str) -> None:
        """Stop the renewal at Telegram. The user can do so as well, so an error is only logged."""
        try:
            await self.stars.set_subscription_renewal(
                payment.bot_name, payment.user_id, first_charge_id, renews=False
            )
        except StarsError as error:
            logger.error(
                "renewal of a refunded subscription not cancelled",
                subscription=first_charge_id,
                user=payment.user_id,
                error=error,
            )

    async def _process(self, refund: DueRefund) -> None:
        payment = await get_payment(self.db, refund.charge_id)
        assert payment is not None  # noqa: S101 - the refund refers to it
        try:
            await self.stars.refund(payment.bot_name, payment.user_id, payment.id)
        except RefundRefused as error:
            await self._give_up(refund, str(error))
        except RefundDelayed as error:
            await self._postpone(refund, error)
        else:
            await self.claw_back(payment)

    async def _give_up(self, refund: DueRefund, reason: str) -> None:
        """Telegram will never make this refund, so the admins have to know."""
        logger.error("refund refused by Telegram", payment=refund.charge_id, reason=reason)
        if await finish_refund(self.db, refund.charge_id, reason):
            await self.admins.notify("refund.impossible", charge=refund.charge_id, why=reason)

    async def _postpone(self, refund: DueRefund, error: RefundDelayed) -> None:
        wait = error.retry_after
        if wait is None:
            wait = 2.0 ** min(refund.attempts, _MAX_RETRY_EXPONENT)
        logger.warning("refund postponed", payment=refund.charge_id, attempt=refund.attempts, error=error)
        await postpone_refund(self.db, refund.charge_id, seconds=min(wait, _MAX_RETRY_SECONDS), error=str(error))


async def _notify_user(db: Executor, payment: Payment) -> None:
    balance = await get_balance(db, payment.user_id)
    extra_lines = [LocalizedLine.of("balance.available", balance.available)]
    if balance.debt:
        extra_lines.append(LocalizedLine.of("balance.debt", balance.debt))
    await notify(
        db,
        user_id=payment.user_id,
        key="refund.told",
        n=payment.stars,
        extra_lines=extra_lines,
        dedup_key=f"refund:{payment.id}",
    )
