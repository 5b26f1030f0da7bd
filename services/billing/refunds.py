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
from services.messaging.app_context import AppContext
from services.notifications.admins import notify_admins
from services.notifications.notices import LocalizedLine
from services.notifications.notify import notify
from storage.money.ledger import get_balance
from storage.money.payments import Payment, get_payment, mark_refunded
from storage.money.refunds import DueRefund, claim_refunds, finish_refund, postpone_refund, request_refund
from storage.money.subscriptions import end_refunded_subscription
from storage.pool import DATABASE_UNAVAILABLE, Executor

_POLL_SECONDS: Final = 1.0
_CLAIM_SECONDS: Final = 60.0
_BATCH_SIZE: Final = 10
_MAX_RETRY_SECONDS: Final = 600.0
_ALREADY_REFUNDED: Final = "CHARGE_ALREADY_REFUNDED"

RefundRequestResult = Literal["asked", "asked_before", "refunded", "unknown"]


@dataclass(frozen=True)
class RefundPreview:
    """What a refund of a payment would do now, in whole Stars: `there` are taken back, `owed` become a debt; of
    these, `bonus` came with a subscription.

    Credits are not marked by the payment they came from; what open orders hold is not there to be taken.
    """

    recoverable: int
    owed: int
    held: int
    bonus: int


async def preview_refund(studio: AppContext, payment: Payment) -> RefundPreview:
    balance = await get_balance(studio.db, payment.user_id)
    bonus = await ledger.subscription_bonus(studio.db, payment.id, payment.user_id)
    recoverable = min(balance.available, payment.stars + bonus)
    return RefundPreview(recoverable, payment.stars + bonus - recoverable, balance.held, bonus)


async def request_payment_refund(studio: AppContext, charge_id: str, admin_id: int) -> RefundRequestResult:
    """Ask for a refund, once: from the commit on it is tried until Telegram has done it, and the admins are told.

    One that Telegram refused for good may be asked for again.
    """
    if await request_refund(studio.db, charge_id, requested_by=admin_id):
        logger.info("admin {} asks for the refund of charge {}", admin_id, charge_id)
        return "asked"
    payment = await get_payment(studio.db, charge_id)
    if payment is None:
        return "unknown"
    return "refunded" if payment.refunded_at else "asked_before"


async def process_refunds(studio: AppContext) -> None:
    """Bring the outbox of refunds to Telegram, for ever."""
    while True:
        try:
            for refund in await claim_refunds(studio.db, seconds=_CLAIM_SECONDS, limit=_BATCH_SIZE):
                await _process_refund(studio, refund)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("refunds wait, the database is away: {}", error)
        await asyncio.sleep(_POLL_SECONDS)


async def handle_external_refund(studio: AppContext, charge_id: str) -> None:
    """Telegram says that a payment was refunded, whoever asked for it."""
    payment = await get_payment(studio.db, charge_id)
    if payment is None:
        logger.error("charge {} was refunded, and we do not know it", charge_id)
    else:
        await claw_back_payment(studio, payment)


async def claw_back_payment(studio: AppContext, payment: Payment) -> bool:
    """Take a refunded payment's credits back, once; what is spent already is owed. False where it was done."""
    async with studio.db.acquire() as connection, connection.transaction():
        owed = await ledger.claw_back(connection, payment.id, payment.user_id, payment.stars)
        await mark_refunded(connection, payment.id)
        requested_by = await finish_refund(connection, payment.id)
        subscription = await end_refunded_subscription(connection, payment.id) if owed is not None else None
        if owed is not None:
            await _notify_user(connection, payment)
    if owed is None:
        return False
    if subscription is not None:
        await _cancel_renewal(studio, payment, subscription)
    logger.info(
        "charge {} of {} is refunded: {} Stars, {} of them owed", payment.id, payment.user_id, payment.stars, owed
    )
    await notify_admins(
        studio, "refund.owed" if owed else "refund.done", stars=payment.stars, user=payment.user_id, owed=owed,
        by=requested_by or 0, dedup_key=f"refund:{payment.id}",
    )  # fmt: skip
    return True


async def _cancel_renewal(studio: AppContext, payment: Payment, first_charge_id: str) -> None:
    """Have Telegram take no further month. The person can do so as well, so a refusal is only logged."""
    try:
        await studio.bot_or_default(payment.bot_name).edit_user_star_subscription(
            payment.user_id, first_charge_id, is_canceled=True
        )
    except TelegramAPIError as error:
        logger.error("subscription {} of {} goes on: {}", first_charge_id, payment.user_id, error.message)


async def _notify_user(db: Executor, payment: Payment) -> None:
    balance = await get_balance(db, payment.user_id)
    extra_lines = [LocalizedLine.of("balance.available", balance.available)]
    if balance.debt:
        extra_lines.append(LocalizedLine.of("balance.debt", balance.debt))
    dedup_key = f"refund:{payment.id}"
    await notify(
        db,
        user_id=payment.user_id,
        key="refund.told",
        n=payment.stars,
        extra_lines=extra_lines,
        dedup_key=dedup_key,
    )


async def _process_refund(studio: AppContext, refund: DueRefund) -> None:
    payment = await get_payment(studio.db, refund.charge_id)
    assert payment is not None  # noqa: S101 - the outbox refers to it
    try:
        await studio.bot_or_default(payment.bot_name).refund_star_payment(payment.user_id, payment.id)
    except TelegramAPIError as error:
        if _ALREADY_REFUNDED not in error.message:
            await _handle_refund_error(studio, refund, error)
            return
    await claw_back_payment(studio, payment)


async def _handle_refund_error(studio: AppContext, refund: DueRefund, error: TelegramAPIError) -> None:
    """Try again later; where Telegram says that it can never be done, the admins have to know."""
    if isinstance(error, TelegramBadRequest | TelegramNotFound | TelegramForbiddenError):
        logger.error("charge {} cannot be refunded: {}", refund.charge_id, error.message)
        if await finish_refund(studio.db, refund.charge_id, error.message):
            await notify_admins(studio, "refund.impossible", charge=refund.charge_id, why=error.message)
        return
    wait = float(error.retry_after) if isinstance(error, TelegramRetryAfter) else 2.0**refund.attempts
    logger.warning("charge {}: refund try {} failed: {}", refund.charge_id, refund.attempts, error.message)
    await postpone_refund(studio.db, refund.charge_id, seconds=min(wait, _MAX_RETRY_SECONDS), error=error.message)
