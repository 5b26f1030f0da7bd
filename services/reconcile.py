"""Telegram's own list of Star payments against our ledger: a payment whose update was lost is credited.

https://core.telegram.org/bots/api#getstartransactions
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aiogram import Bot
from aiogram.types import StarTransaction, TransactionPartnerUser
from loguru import logger

from services.admins import tell_admins
from services.payments import Charge, Payments
from services.studio import Studio
from storage.ledger import known_keys
from storage.users import get_user

_PAGE: Final = 100


@dataclass(frozen=True)
class Reconciled:
    """Payments that Telegram lists, and those of them that our ledger did not have: credited now, or not
    creditable because the person is unknown to us."""

    payments: int = 0
    credited: int = 0
    unknown: int = 0


async def reconcile(studio: Studio) -> Reconciled:
    """Compare all payments of all bots with the ledger, and credit what is missing. Raises TelegramAPIError."""
    payments = credited = unknown = 0
    for name, bot in studio.bots.items():
        async for page in _pages(bot):
            charges = [charge for transaction in page if (charge := _charge(transaction))]
            known = await known_keys(studio.db, [f"charge:{charge.id}" for charge in charges])
            payments += len(charges)
            for charge in (c for c in charges if f"charge:{c.id}" not in known):
                if await get_user(studio.db, charge.user_id) is None:
                    unknown += 1
                    logger.error("charge {} is of {}, whom we do not know", charge.id, charge.user_id)
                elif await Payments(studio).credit(charge, bot_name=name):
                    credited += 1
                    logger.warning("charge {} of {} was missing and is credited", charge.id, charge.user_id)
    return Reconciled(payments, credited, unknown)


async def reconcile_stars(studio: Studio, slot: datetime) -> None:
    """The daily chore: the admins hear of it when something was missing."""
    found = await reconcile(studio)
    logger.info("reconciled {} payments: {} credited, {} unknown", found.payments, found.credited, found.unknown)
    if found.credited or found.unknown:
        await tell_admins(
            studio, "reconcile.differs", payments=found.payments, credited=found.credited, unknown=found.unknown
        )


async def _pages(bot: Bot) -> AsyncIterator[list[StarTransaction]]:
    offset = 0
    while True:
        page = (await bot.get_star_transactions(offset=offset, limit=_PAGE)).transactions
        if page:
            yield page
        if len(page) < _PAGE:
            return
        offset += len(page)


def _charge(transaction: StarTransaction) -> Charge | None:
    """A payment that somebody made for an invoice of ours; None for withdrawals, refunds, gifts."""
    source = transaction.source
    if not isinstance(source, TransactionPartnerUser) or not source.invoice_payload:
        return None
    period = source.subscription_period
    until = transaction.date + timedelta(seconds=period) if period else None
    return Charge(transaction.id, source.user.id, transaction.amount, source.invoice_payload, expires_at=until)
