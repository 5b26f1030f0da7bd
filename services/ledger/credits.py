"""Moves of credits: hold, capture, release, bonuses, refunds and debts.

Every move has a key of its own, so that repeating it changes nothing. Amounts are whole credits.
"""

from storage.jobs.jobs import Job, NewJob
from storage.money import ledger
from storage.pool import Executor


async def hold(db: Executor, job: NewJob) -> None:
    """Reserve the price of an order. An order without a price has no hold.

    Args:
        db: A connection inside the transaction that inserts the job.
        job: The order.

    Raises:
        BalanceTooLow: The user has too few credits. The transaction around it cannot go on.
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
    """Take what an order holds, because it succeeded. False when it was captured or released before."""
    return await _settle(db, job, "capture", "revenue")


async def release(db: Executor, job: Job) -> bool:
    """Return what an order holds, because it failed or was cancelled. False when it was settled before."""
    return await _settle(db, job, "release", "available")


async def _settle(db: Executor, job: Job, kind: str, target: str) -> bool:
    if not job.price:
        return False
    return await ledger.transfer(
        db,
        key=f"settle:{job.id}",  # one key for both, so that a job is either captured or released, once
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
        key: Names this bonus among all moves of the ledger.
        kind: What the bonus is for, such as `promo` or `referral`; the statement shows it.
        user_id: The user who gets it.
        amount: Whole credits.

    Returns:
        False when this key was used before, or the amount is not above zero.
    """
    if amount <= 0:
        return False
    return await ledger.transfer(
        db, key=key, kind=kind, user_id=user_id, source="bonuses", target="available", amount=amount
    )


async def claw_back(db: Executor, charge_id: str, user_id: int, credits: int) -> int | None:
    """Take back the credits of a refunded payment, and the bonus that came with a subscription's payment.

    What the user can still spend is taken; the rest becomes a debt.

    Args:
        db: A connection inside a transaction.
        charge_id: Telegram's id of the payment.
        user_id: The user who paid.
        credits: Credits that the payment gave, without the bonus.

    Returns:
        Credits that the user owes for it now; None when it was taken back before.
    """
    owed = await ledger.claw_back(db, f"refund:{charge_id}", user_id, credits)
    bonus = await subscription_bonus(db, charge_id, user_id)
    if owed is not None and bonus > 0:
        owed += await ledger.claw_back(db, f"refund-bonus:{charge_id}", user_id, bonus, account="bonuses") or 0
    return owed


async def subscription_bonus(db: Executor, charge_id: str, user_id: int) -> int:
    """The credits that a subscription's payment gave beyond those paid for; 0 for other payments."""
    return await ledger.credits_received(db, f"subscription:{charge_id}", user_id)


async def settle_debt(db: Executor, key: str, user_id: int) -> int:
    """Pay as much of a user's debt as their credits allow.

    Args:
        db: The database, or a connection inside a transaction.
        key: Names this settlement, such as the payment that made it possible.
        user_id: The user who may owe something.

    Returns:
        Credits that were paid; 0 where nothing is owed or the key was used before.
    """
    return await ledger.settle_debt(db, f"debt:{key}", user_id)


async def give_welcome_credits(db: Executor, user_id: int, credits: int) -> None:
    """Give a new user the credits they start with, once."""
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
