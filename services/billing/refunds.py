"""Refunds of Stars: requested once, retried until Telegram makes them, then booked in the ledger once."""

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
"""The outcome of a request: new, requested before, already refunded, or no such payment. Also the end of a text key."""


@dataclass(frozen=True)
class RefundPreview:
    """The effect that refunding a payment would have now, in credits.

    The ledger does not track which payment credits came from, and credits held by open orders cannot be taken back.

    Attributes:
        recoverable: The credits that would be taken back.
        owed: The credits that would become a debt.
        held: The credits held by open orders.
        bonus: The part of the payment's credits that was a subscription bonus.
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
        stars: The API for Telegram Stars.
        admins: Notifies the admins of the outcome of a refund.
    """

    db: Pool
    stars: StarsApi
    admins: AdminNotifier

    async def preview(self, payment: Payment) -> RefundPreview:
        """Calculate the effect of refunding this payment now."""
        balance = await get_balance(self.db, payment.user_id)
        bonus = await ledger.subscription_bonus(self.db, payment.id, payment.user_id)
        recoverable = min(balance.available, payment.stars + bonus)
        return RefundPreview(recoverable, payment.stars + bonus - recoverable, balance.held, bonus)

    async def request(self, charge_id: str, admin_id: int) -> RefundRequestResult:
        """Request a refund. It is then retried until Telegram makes or refuses it, and the admins are notified.

        A refund that Telegram refused may be requested again.

        Args:
            charge_id: Telegram's id of the payment.
            admin_id: The admin who requests the refund.

        Returns:
            The outcome of the request; it does not wait for the refund.
        """
        if await request_refund(self.db, charge_id, requested_by=admin_id):
            logger.info("refund requested", payment=charge_id, admin=admin_id)
            return "asked"
        payment = await get_payment(self.db, charge_id)
        if payment is None:
            return "unknown"
        return "refunded" if payment.refunded_at else "asked_before"

    async def process_due(self) -> None:
        """Make the refunds that are due. Called periodically.

        A refund is claimed for one minute, so that another process takes over if this one dies.
        """
        for refund in await claim_refunds(self.db, seconds=_CLAIM_SECONDS, limit=_BATCH_SIZE):
            await self._process(refund)

    async def handle_external(self, charge_id: str) -> None:
        """Take back the credits of a payment that Telegram reports as refunded, whoever made the refund.

        Args:
            charge_id: Telegram's id of the payment.
        """
        payment = await get_payment(self.db, charge_id)
        if payment is None:
            logger.error("refunded payment is unknown", payment=charge_id)
        else:
            await self.claw_back(payment)

    async def claw_back(self, payment: Payment) -> bool:
        """Take back the credits of a refunded payment, once. Credits that are not available become a debt.

        If the payment was for a subscription, the subscription ends now.

        Args:
            payment: A payment that Telegram has refunded.

        Returns:
            False if the credits were taken back before.
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
        """Stop the renewal at Telegram. An error is only logged, because the user can also stop it."""
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
        """Record that Telegram refuses this refund for good, and notify the admins."""
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
