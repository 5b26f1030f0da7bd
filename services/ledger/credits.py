"""Movements of credits: hold, capture, release, bonuses, refunds and debts.

Every movement has a unique key, so repeating it changes nothing. Amounts are whole credits.
"""

from storage.jobs.jobs import Job, NewJob
from storage.money import ledger
from storage.pool import Executor


async def hold(db: Executor, job: NewJob) -> None:
    """Hold the price of an order. An order that costs nothing has no hold.

    Args:
        db: A connection inside the transaction that inserts the job.
        job: The order.

    Raises:
        BalanceTooLow: The user has too few credits. The surrounding transaction has to be rolled back.
    """
    if job.price:
        await ledger.transfer(
            db,
            key=f"hold:{job.id}",
            kind="hold",
            user_id=job.user_id,
            source="available",
            target="held",
            amount=job.price,
            job_id=job.id,
        )


async def capture(db: Executor, job: Job) -> bool:
    """Capture the hold of an order that succeeded. Returns False if it has none or it was settled before."""
    return await _settle(db, job, "capture", "revenue")


async def release(db: Executor, job: Job) -> bool:
    """Release the hold of an order that failed or was cancelled. Returns False as `capture` does."""
    return await _settle(db, job, "release", "available")


async def _settle(db: Executor, job: Job, kind: str, target: str) -> bool:
    if not job.price:
        return False
    return await ledger.transfer(
        db,
        key=f"settle:{job.id}",  # the same key for both, so that a hold is settled only once
        kind=kind,
        user_id=job.user_id,
        source="held",
        target=target,
        amount=job.price,
        job_id=job.id,
    )


async def give_bonus(db: Executor, *, key: str, kind: str, user_id: int, amount: int) -> bool:
    """Give credits that were not paid for.

    Args:
        db: The database, or a connection inside a transaction.
        key: A key that is unique among all movements in the ledger.
        kind: The kind of bonus, such as `promo` or `referral`, as shown in the statement.
        user_id: The user who gets the bonus.
        amount: Whole credits.

    Returns:
        False if this key was used before, or the amount is not above zero.
    """
    if amount <= 0:
        return False
    return await ledger.transfer(
        db, key=key, kind=kind, user_id=user_id, source="bonuses", target="available", amount=amount
    )


async def claw_back(db: Executor, charge_id: str, user_id: int, credits: int) -> int | None:
    """Take back the credits of a refunded payment, including the bonus of a subscription payment.

    The available credits are taken; the rest becomes a debt.

    Args:
        db: A connection inside a transaction.
        charge_id: Telegram's id of the payment.
        user_id: The user who paid.
        credits: The credits that the payment gave, without the bonus.

    Returns:
        The credits that became a debt, or None if the payment was taken back before.
    """
    owed = await ledger.claw_back(db, f"refund:{charge_id}", user_id, credits)
    bonus = await subscription_bonus(db, charge_id, user_id)
    if owed is not None and bonus > 0:
        owed += await ledger.claw_back(db, f"refund-bonus:{charge_id}", user_id, bonus, account="bonuses") or 0
    return owed


async def subscription_bonus(db: Executor, charge_id: str, user_id: int) -> int:
    """Return the bonus credits of a subscription payment; 0 for other payments."""
    return await ledger.credits_received(db, f"subscription:{charge_id}", user_id)


async def settle_debt(db: Executor, key: str, user_id: int) -> int:
    """Settle as much of a user's debt as their available credits allow.

    Args:
        db: The database, or a connection inside a transaction.
        key: A unique key for this settlement, such as the id of the payment that made it possible.
        user_id: The user.

    Returns:
        The credits paid; 0 if nothing is owed or the key was used before.
    """
    return await ledger.settle_debt(db, f"debt:{key}", user_id)


async def give_welcome_credits(db: Executor, user_id: int, credits: int) -> None:
    """Give a new user the welcome credits, once."""
    if credits:
        await ledger.transfer(
            db,
            key=f"welcome:{user_id}",
            kind="welcome",
            user_id=user_id,
            source="bonuses",
            target="available",
            amount=credits,
        )
