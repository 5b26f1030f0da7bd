"""Telegram's own list of Star payments against our ledger: what was lost is credited, what was refunded elsewhere
is taken back, and all else that differs is told.

https://core.telegram.org/bots/api#getstartransactions
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final

from aiogram import Bot
from aiogram.types import StarTransaction, TransactionPartnerUser
from loguru import logger

from services.billing.payments import Payments, ReceivedPayment
from services.billing.refunds import claw_back_payment
from services.core.i18n import Html
from services.messaging.app_context import AppContext
from services.notifications.admins import notify_admins
from storage.money.payments import PaymentMismatch, TelegramPayment, compare_payments, get_payment
from storage.users.users import get_user

_PAGE_SIZE: Final = 100
_MARGIN: Final = timedelta(minutes=1)
"""What is newer may have come while the list was read, or our clock may differ: the next comparison has it."""
_MAX_DETAILS: Final = 10


@dataclass
class ReconciliationReport:
    """Payments that Telegram lists, and what was done: `credited` was missing in our ledger, `taken_back` was
    refunded elsewhere. The rest only people can judge: payments of people whom we do not know, payments whose
    amounts differ, ids of refunds and of payments that we have and Telegram does not list."""

    payments: int = 0
    credited: int = 0
    unknown_users: int = 0
    clawed_back: int = 0
    amount_mismatches: list[PaymentMismatch] = field(default_factory=list)
    refunds_not_listed: list[str] = field(default_factory=list)
    payments_not_listed: list[str] = field(default_factory=list)

    @property
    def is_consistent(self) -> bool:
        """Nothing differed."""
        differs = (self.credited, self.unknown_users, self.clawed_back)
        return not any((*differs, self.amount_mismatches, self.refunds_not_listed, self.payments_not_listed))

    @property
    def text_params(self) -> dict[str, str | int]:
        """What `reconcile.found` has to be filled in with; the details need no language."""
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


@dataclass(frozen=True)
class _TelegramList:
    """A bot's payments, and which of them Telegram lists as refunded."""

    payments: dict[str, ReceivedPayment]
    refunds: set[str]

    @property
    def to_compare(self) -> Iterable[TelegramPayment]:
        return (TelegramPayment(each.id, each.stars, each.id in self.refunds) for each in self.payments.values())


async def reconcile_payments(studio: AppContext) -> ReconciliationReport:
    """Compare all payments of all bots with the ledger, and put right what can be. Raises TelegramAPIError."""
    report = ReconciliationReport()
    for name, bot in studio.bots.items():
        until = datetime.now(UTC) - _MARGIN
        listed = await _fetch_list(bot)
        report.payments += len(listed.payments)
        for difference in await compare_payments(studio.db, listed.to_compare, bot_name=name, until=until):
            await _resolve(studio, name, listed, difference, report)
    return report


async def run_daily_reconciliation(studio: AppContext, scheduled_for: datetime) -> None:
    """The daily chore: the admins hear of it when something differed."""
    report = await reconcile_payments(studio)
    logger.info("reconciled with Telegram: {}", report)
    if not report.is_consistent:
        await notify_admins(studio, "reconcile.found", **report.text_params)


async def _resolve(
    studio: AppContext,
    bot_name: str,
    listed: _TelegramList,
    mismatch: PaymentMismatch,
    report: ReconciliationReport,
) -> None:
    if mismatch.listed_stars is None:
        report.payments_not_listed.append(mismatch.id)
    elif mismatch.recorded_stars is None:
        if not mismatch.refund_listed:  # else nobody has anything, and nobody is to be thanked
            await _credit(studio, bot_name, listed.payments[mismatch.id], report)
    else:
        if mismatch.listed_stars != mismatch.recorded_stars:
            report.amount_mismatches.append(mismatch)
        if mismatch.refund_recorded and not mismatch.refund_listed:
            report.refunds_not_listed.append(mismatch.id)
        elif mismatch.refund_listed and not mismatch.refund_recorded:
            await _claw_back(studio, mismatch.id, report)


async def _credit(
    studio: AppContext, bot_name: str, payment: ReceivedPayment, report: ReconciliationReport
) -> None:
    if await get_user(studio.db, payment.user_id) is None:
        report.unknown_users += 1
        logger.error("charge {} is of {}, whom we do not know", payment.id, payment.user_id)
    elif await Payments(studio).credit(payment, bot_name=bot_name):
        report.credited += 1
        logger.warning("charge {} of {} was missing and is credited", payment.id, payment.user_id)


async def _claw_back(studio: AppContext, charge_id: str, report: ReconciliationReport) -> None:
    payment = await get_payment(studio.db, charge_id)
    if payment is not None and await claw_back_payment(studio, payment):
        report.clawed_back += 1
        logger.warning("charge {} of {} was refunded elsewhere and is taken back", payment.id, payment.user_id)


async def _fetch_list(bot: Bot) -> _TelegramList:
    """Telegram's whole list: a refund may come long after its payment."""
    payments: dict[str, ReceivedPayment] = {}
    refunds: set[str] = set()
    async for page in _iter_pages(bot):
        for transaction in page:
            if payment := _parse_payment(transaction):
                payments[payment.id] = payment
            elif isinstance(transaction.receiver, TransactionPartnerUser):
                refunds.add(transaction.id)  # a refund has its payment's id; gifts that we give have others
    return _TelegramList(payments, refunds)


async def _iter_pages(bot: Bot) -> AsyncIterator[list[StarTransaction]]:
    offset = 0
    while True:
        page = (await bot.get_star_transactions(offset=offset, limit=_PAGE_SIZE)).transactions
        if page:
            yield page
        if len(page) < _PAGE_SIZE:
            return
        offset += len(page)


def _parse_payment(transaction: StarTransaction) -> ReceivedPayment | None:
    """A payment that somebody made for an invoice of ours; None for withdrawals, refunds, gifts."""
    source = transaction.source
    if not isinstance(source, TransactionPartnerUser) or not source.invoice_payload:
        return None
    period = source.subscription_period
    expires_at = transaction.date + timedelta(seconds=period) if period else None
    return ReceivedPayment(
        transaction.id, source.user.id, transaction.amount, source.invoice_payload, expires_at=expires_at
    )
