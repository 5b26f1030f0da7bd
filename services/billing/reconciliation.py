"""Reconciliation: compares our payments with Telegram's list of transactions.

Missing payments are credited, payments refunded elsewhere are taken back, and any other difference is reported to the
admins. https://core.telegram.org/bots/api#getstartransactions
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final

from loguru import logger

from services.billing.payments import Payments, ReceivedPayment
from services.billing.refunds import Refunds
from services.core.i18n import Html
from services.messaging.stars import ListedTransaction, StarsApi
from services.notifications.admins import AdminNotifier
from storage.money.payments import PaymentMismatch, TelegramPayment, compare_payments, get_payment
from storage.pool import Pool
from storage.users.users import get_user

_MARGIN: Final = timedelta(minutes=1)
"""Newer payments are left to the next reconciliation: they may have arrived while the list was being read, and our
clock may differ from Telegram's."""
_MAX_DETAILS: Final = 10


@dataclass
class ReconciliationReport:
    """The findings of a reconciliation. Missing and refunded payments are corrected; the rest needs an admin.

    Attributes:
        payments: The number of payments in Telegram's list.
        credited: The number of payments that were missing in the ledger and have been credited.
        unknown_users: The number of payments by users who are not in our database.
        clawed_back: The number of payments that were refunded elsewhere and have been taken back.
        amount_mismatches: Payments with different amounts.
        refunds_not_listed: The ids of payments that are refunded in our database but not in Telegram's list.
        payments_not_listed: The ids of payments that are in our database but not in Telegram's list.
    """

    payments: int = 0
    credited: int = 0
    unknown_users: int = 0
    clawed_back: int = 0
    amount_mismatches: list[PaymentMismatch] = field(default_factory=list)
    refunds_not_listed: list[str] = field(default_factory=list)
    payments_not_listed: list[str] = field(default_factory=list)

    @property
    def is_consistent(self) -> bool:
        """Whether nothing differed."""
        differs = (self.credited, self.unknown_users, self.clawed_back)
        return not any((*differs, self.amount_mismatches, self.refunds_not_listed, self.payments_not_listed))

    @property
    def text_params(self) -> dict[str, str | int]:
        """The values for the text `reconcile.found`."""
        details = [
            f"<code>{escape(each.id)}</code>: {each.listed_stars} ≠ {each.recorded_stars}"
            for each in self.amount_mismatches
        ]
        ids = (*self.refunds_not_listed, *self.payments_not_listed)
        details += [f"<code>{escape(charge_id)}</code>" for charge_id in ids]
        more = ["…"] if len(details) > _MAX_DETAILS else []
        return {
            "payments": self.payments,
            "credited": self.credited,
            "unknown": self.unknown_users,
            "taken_back": self.clawed_back,
            "amounts": len(self.amount_mismatches),
            "refunds_not_listed": len(self.refunds_not_listed),
            "not_listed": len(self.payments_not_listed),
            "details": Html("".join(f"\n{line}" for line in (*details[:_MAX_DETAILS], *more))),
        }


@dataclass
class _TelegramList:
    """A bot's payments by id, and the ids of refunded payments, as listed by Telegram."""

    payments: dict[str, ReceivedPayment] = field(default_factory=dict)
    refunds: set[str] = field(default_factory=set)

    @property
    def to_compare(self) -> Iterable[TelegramPayment]:
        return (TelegramPayment(each.id, each.stars, each.id in self.refunds) for each in self.payments.values())


@dataclass(frozen=True)
class Reconciliation:
    """Compares our payments with Telegram's list.

    Attributes:
        db: The database.
        stars: The API for Telegram Stars.
        payments: Credits missing payments.
        refunds: Takes back payments that were refunded elsewhere.
        admins: Notifies the admins of differences.
    """

    db: Pool
    stars: StarsApi
    payments: Payments
    refunds: Refunds
    admins: AdminNotifier

    async def run(self) -> ReconciliationReport:
        """Compare all payments of all bots, and correct the differences that can be corrected.

        Returns:
            The differences found.

        Raises:
            StarsError: Telegram did not return the whole list. Corrections made before that are kept.
        """
        report = ReconciliationReport()
        for bot_name in self.stars.bots.by_name:
            until = datetime.now(UTC) - _MARGIN
            listed = await self._fetch_list(bot_name)
            report.payments += len(listed.payments)
            for mismatch in await compare_payments(self.db, listed.to_compare, bot_name=bot_name, until=until):
                await self._resolve(bot_name, listed, mismatch, report)
        return report

    async def run_daily(self, scheduled_for: datetime) -> None:
        """Reconcile, and notify the admins of differences. A daily scheduled task.

        Args:
            scheduled_for: The time for which this scheduled task was due.

        Raises:
            StarsError: Telegram did not return the whole list.
        """
        report = await self.run()
        logger.info("reconciled with Telegram", facts=report.text_params)
        if not report.is_consistent:
            await self.admins.notify("reconcile.found", **report.text_params)

    async def _resolve(
        self, bot_name: str, listed: _TelegramList, mismatch: PaymentMismatch, report: ReconciliationReport
    ) -> None:
        if mismatch.listed_stars is None:
            report.payments_not_listed.append(mismatch.id)
        elif mismatch.recorded_stars is None:
            if not mismatch.refund_listed:  # nothing to do if it was refunded before it was credited
                await self._credit(bot_name, listed.payments[mismatch.id], report)
        else:
            if mismatch.listed_stars != mismatch.recorded_stars:
                report.amount_mismatches.append(mismatch)
            if mismatch.refund_recorded and not mismatch.refund_listed:
                report.refunds_not_listed.append(mismatch.id)
            elif mismatch.refund_listed and not mismatch.refund_recorded:
                await self._claw_back(mismatch.id, report)

    async def _credit(self, bot_name: str, payment: ReceivedPayment, report: ReconciliationReport) -> None:
        if await get_user(self.db, payment.user_id) is None:
            report.unknown_users += 1
            logger.error("payment from an unknown user", payment=payment.id, user=payment.user_id)
        elif await self.payments.credit(payment, bot_name=bot_name):
            report.credited += 1
            logger.warning("missing payment credited", payment=payment.id, user=payment.user_id)

    async def _claw_back(self, charge_id: str, report: ReconciliationReport) -> None:
        payment = await get_payment(self.db, charge_id)
        if payment is not None and await self.refunds.claw_back(payment):
            report.clawed_back += 1
            logger.warning("refund made elsewhere, credits taken back", payment=payment.id, user=payment.user_id)

    async def _fetch_list(self, bot_name: str) -> _TelegramList:
        """Read Telegram's whole list, because a refund may come long after its payment. Raises StarsError."""
        listed = _TelegramList()
        async for page in self.stars.transactions(bot_name):
            for transaction in page:
                if transaction.is_refund:
                    listed.refunds.add(transaction.id)  # a refund has the id of its payment
                elif payment := _to_payment(transaction):
                    listed.payments[payment.id] = payment
        return listed


def _to_payment(transaction: ListedTransaction) -> ReceivedPayment | None:
    """Convert a payment for one of our invoices; None for withdrawals, gifts and the like."""
    if transaction.user_id is None:
        return None
    seconds = transaction.subscription_seconds
    return ReceivedPayment(
        transaction.id,
        transaction.user_id,
        transaction.stars,
        transaction.payload,
        expires_at=transaction.date + timedelta(seconds=seconds) if seconds else None,
    )
