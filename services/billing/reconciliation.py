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

from services.billing.payments import Charge, Payments
from services.billing.refunds import take_back
from services.core.i18n import Html
from services.messaging.app_context import Studio
from services.notifications.admins import tell_admins
from storage.money.payments import Difference, Listed, compare_charges, get_charge
from storage.users.users import get_user

_PAGE: Final = 100
_MARGIN: Final = timedelta(minutes=1)
"""What is newer may have come while the list was read, or our clock may differ: the next comparison has it."""
_SHOWN: Final = 10


@dataclass
class Reconciled:
    """Payments that Telegram lists, and what was done: `credited` was missing in our ledger, `taken_back` was
    refunded elsewhere. The rest only people can judge: payments of people whom we do not know, payments whose
    amounts differ, ids of refunds and of payments that we have and Telegram does not list."""

    payments: int = 0
    credited: int = 0
    unknown: int = 0
    taken_back: int = 0
    amounts: list[Difference] = field(default_factory=list)
    refunds_not_listed: list[str] = field(default_factory=list)
    not_listed: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Nothing differed."""
        differs = (self.credited, self.unknown, self.taken_back)
        return not any((*differs, self.amounts, self.refunds_not_listed, self.not_listed))

    @property
    def blanks(self) -> dict[str, str | int]:
        """What `reconcile.found` has to be filled in with; the details need no language."""
        details = [f"<code>{escape(each.id)}</code>: {each.listed} ≠ {each.known}" for each in self.amounts]
        ids = (*self.refunds_not_listed, *self.not_listed)
        details += [f"<code>{escape(charge_id)}</code>" for charge_id in ids]
        more = ["…"] if len(details) > _SHOWN else []
        return {
            "payments": self.payments,
            "credited": self.credited,
            "unknown": self.unknown,
            "taken_back": self.taken_back,
            "amounts": len(self.amounts),
            "refunds_not_listed": len(self.refunds_not_listed),
            "not_listed": len(self.not_listed),
            "details": Html("".join(f"\n{line}" for line in (*details[:_SHOWN], *more))),
        }


@dataclass(frozen=True)
class _List:
    """A bot's payments, and which of them Telegram lists as refunded."""

    charges: dict[str, Charge]
    refunds: set[str]

    @property
    def all(self) -> Iterable[Listed]:
        return (Listed(each.id, each.stars, each.id in self.refunds) for each in self.charges.values())


async def reconcile(studio: Studio) -> Reconciled:
    """Compare all payments of all bots with the ledger, and put right what can be. Raises TelegramAPIError."""
    found = Reconciled()
    for name, bot in studio.bots.items():
        until = datetime.now(UTC) - _MARGIN
        listed = await _read(bot)
        found.payments += len(listed.charges)
        for difference in await compare_charges(studio.db, listed.all, bot_name=name, until=until):
            await _settle(studio, name, listed, difference, found)
    return found


async def reconcile_stars(studio: Studio, slot: datetime) -> None:
    """The daily chore: the admins hear of it when something differed."""
    found = await reconcile(studio)
    logger.info("reconciled with Telegram: {}", found)
    if not found.right:
        await tell_admins(studio, "reconcile.found", **found.blanks)


async def _settle(studio: Studio, bot_name: str, listed: _List, difference: Difference, found: Reconciled) -> None:
    if difference.listed is None:
        found.not_listed.append(difference.id)
    elif difference.known is None:
        if not difference.refund_listed:  # else nobody has anything, and nobody is to be thanked
            await _credit(studio, bot_name, listed.charges[difference.id], found)
    else:
        if difference.listed != difference.known:
            found.amounts.append(difference)
        if difference.refund_known and not difference.refund_listed:
            found.refunds_not_listed.append(difference.id)
        elif difference.refund_listed and not difference.refund_known:
            await _take_back(studio, difference.id, found)


async def _credit(studio: Studio, bot_name: str, charge: Charge, found: Reconciled) -> None:
    if await get_user(studio.db, charge.user_id) is None:
        found.unknown += 1
        logger.error("charge {} is of {}, whom we do not know", charge.id, charge.user_id)
    elif await Payments(studio).credit(charge, bot_name=bot_name):
        found.credited += 1
        logger.warning("charge {} of {} was missing and is credited", charge.id, charge.user_id)


async def _take_back(studio: Studio, charge_id: str, found: Reconciled) -> None:
    charge = await get_charge(studio.db, charge_id)
    if charge is not None and await take_back(studio, charge):
        found.taken_back += 1
        logger.warning("charge {} of {} was refunded elsewhere and is taken back", charge.id, charge.user_id)


async def _read(bot: Bot) -> _List:
    """Telegram's whole list: a refund may come long after its payment."""
    charges: dict[str, Charge] = {}
    refunds: set[str] = set()
    async for page in _pages(bot):
        for transaction in page:
            if charge := _charge(transaction):
                charges[charge.id] = charge
            elif isinstance(transaction.receiver, TransactionPartnerUser):
                refunds.add(transaction.id)  # a refund has its payment's id; gifts that we give have others
    return _List(charges, refunds)


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
