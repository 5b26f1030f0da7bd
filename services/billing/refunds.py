"""Refunds in Stars: asked for once, tried until Telegram has done it, and taken out of the ledger once.

https://core.telegram.org/bots/api#refundstarpayment
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Literal

from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
)
from loguru import logger

from services.ledger import credits as ledger
from services.messaging.app_context import Studio
from services.notifications.admins import tell_admins
from services.notifications.notices import Line
from services.notifications.notify import notify
from storage.money.ledger import get_balance
from storage.money.payments import (
    Charge,
    Refund,
    ask_refund,
    claim_refunds,
    finish_refund,
    get_charge,
    mark_refunded,
    refund_later,
)
from storage.money.subscriptions import end_refunded_subscription
from storage.pool import DATABASE_AWAY, Executor

_LOOK_EVERY: Final = 1.0
_CLAIM_SECONDS: Final = 60.0
_AT_ONCE: Final = 10
_LONGEST_WAIT: Final = 600.0
_DONE_BEFORE: Final = "CHARGE_ALREADY_REFUNDED"

Answer = Literal["asked", "asked_before", "refunded", "unknown"]


@dataclass(frozen=True)
class Outlook:
    """What a refund of a payment would do now, in whole Stars: `there` are taken back, `owed` become a debt; of
    these, `bonus` came with a subscription.

    Credits are not marked by the payment they came from; what open orders hold is not there to be taken.
    """

    there: int
    owed: int
    held: int
    bonus: int


async def outlook(studio: Studio, charge: Charge) -> Outlook:
    balance = await get_balance(studio.db, charge.user_id)
    bonus = await ledger.bonus_of(studio.db, charge.id, charge.user_id)
    there = min(balance.available, charge.stars + bonus)
    return Outlook(there, charge.stars + bonus - there, balance.held, bonus)


async def ask(studio: Studio, charge_id: str, admin: int) -> Answer:
    """Ask for a refund, once: from the commit on it is tried until Telegram has done it, and the admins are told.

    One that Telegram refused for good may be asked for again.
    """
    if await ask_refund(studio.db, charge_id, asked_by=admin):
        logger.info("admin {} asks for the refund of charge {}", admin, charge_id)
        return "asked"
    charge = await get_charge(studio.db, charge_id)
    if charge is None:
        return "unknown"
    return "refunded" if charge.refunded_at else "asked_before"


async def keep_refunding(studio: Studio) -> None:
    """Bring the outbox of refunds to Telegram, for ever."""
    while True:
        try:
            for refund in await claim_refunds(studio.db, seconds=_CLAIM_SECONDS, limit=_AT_ONCE):
                await _refund(studio, refund)
        except DATABASE_AWAY as error:
            logger.warning("refunds wait, the database is away: {}", error)
        await asyncio.sleep(_LOOK_EVERY)


async def refunded_elsewhere(studio: Studio, charge_id: str) -> None:
    """Telegram says that a payment was refunded, whoever asked for it."""
    charge = await get_charge(studio.db, charge_id)
    if charge is None:
        logger.error("charge {} was refunded, and we do not know it", charge_id)
    else:
        await take_back(studio, charge)


async def take_back(studio: Studio, charge: Charge) -> bool:
    """Take a refunded payment's credits back, once; what is spent already is owed. False where it was done."""
    async with studio.db.acquire() as connection, connection.transaction():
        taken = await ledger.take_back(connection, charge.id, charge.user_id, charge.stars)
        await mark_refunded(connection, charge.id)
        asked_by = await finish_refund(connection, charge.id)
        subscription = await end_refunded_subscription(connection, charge.id) if taken is not None else None
        if taken is not None:
            await _tell_person(connection, charge)
    if taken is None:
        return False
    if subscription is not None:
        await _stop_renewing(studio, charge, subscription)
    logger.info(
        "charge {} of {} is refunded: {} Stars, {} of them owed", charge.id, charge.user_id, charge.stars, taken
    )
    await tell_admins(
        studio, "refund.owed" if taken else "refund.done", stars=charge.stars, user=charge.user_id, owed=taken,
        by=asked_by or 0, dedupe=f"refund:{charge.id}",
    )  # fmt: skip
    return True


async def _stop_renewing(studio: Studio, charge: Charge, first_charge: str) -> None:
    """Have Telegram take no further month. The person can do so as well, so a refusal is only logged."""
    try:
        await studio.bot(charge.bot_name).edit_user_star_subscription(
            charge.user_id, first_charge, is_canceled=True
        )
    except TelegramAPIError as error:
        logger.error("subscription {} of {} goes on: {}", first_charge, charge.user_id, error.message)


async def _tell_person(db: Executor, charge: Charge) -> None:
    balance = await get_balance(db, charge.user_id)
    more = [Line.of("balance.available", balance.available)]
    if balance.debt:
        more.append(Line.of("balance.debt", balance.debt))
    told = f"refund:{charge.id}"
    await notify(db, user_id=charge.user_id, key="refund.told", n=charge.stars, more=more, dedupe=told)


async def _refund(studio: Studio, refund: Refund) -> None:
    charge = await get_charge(studio.db, refund.charge_id)
    assert charge is not None  # noqa: S101 - the outbox refers to it
    try:
        await studio.bot(charge.bot_name).refund_star_payment(charge.user_id, charge.id)
    except TelegramAPIError as error:
        if _DONE_BEFORE not in error.message:
            await _not_done(studio, refund, error)
            return
    await take_back(studio, charge)


async def _not_done(studio: Studio, refund: Refund, error: TelegramAPIError) -> None:
    """Try again later; where Telegram says that it can never be done, the admins have to know."""
    if isinstance(error, TelegramBadRequest | TelegramNotFound | TelegramForbiddenError):
        logger.error("charge {} cannot be refunded: {}", refund.charge_id, error.message)
        if await finish_refund(studio.db, refund.charge_id, error.message):
            await tell_admins(studio, "refund.impossible", charge=refund.charge_id, why=error.message)
        return
    wait = float(error.retry_after) if isinstance(error, TelegramRetryAfter) else 2.0**refund.attempts
    logger.warning("charge {}: refund try {} failed: {}", refund.charge_id, refund.attempts, error.message)
    await refund_later(studio.db, refund.charge_id, seconds=min(wait, _LONGEST_WAIT), error=error.message)
