"""Credits: whole Telegram Stars. Every move has a key of its own, so that repeating it changes nothing."""

from storage.jobs.jobs import Job, NewJob
from storage.money import ledger
from storage.pool import Executor


async def hold(db: Executor, job: NewJob) -> None:
    """Set the price of an order aside. Raises NotEnoughCredits, which undoes the transaction around it."""
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
    """The order succeeded: what was held is ours. False when it was captured or released before."""
    return await _settle(db, job, "capture", "revenue")


async def release(db: Executor, job: Job) -> bool:
    """The order failed or was cancelled: what was held is the person's again."""
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
    """Credits that nobody paid for. False when this key was given before, or there is nothing to give."""
    if amount <= 0:
        return False
    return await ledger.transfer(
        db, key=key, kind=kind, user_id=user_id, source="bonuses", target="available", amount=amount
    )


async def claw_back(db: Executor, charge_id: str, user_id: int, credits: int) -> int | None:
    """A payment was refunded: take its credits and a subscription's bonus, as far as they are there. What is
    missing is owed, and is given back here; None when it was taken back before."""
    owed = await ledger.claw_back(db, f"refund:{charge_id}", user_id, credits)
    bonus = await subscription_bonus(db, charge_id, user_id)
    if owed is not None and bonus > 0:
        owed += await ledger.claw_back(db, f"refund-bonus:{charge_id}", user_id, bonus, account="bonuses") or 0
    return owed


async def subscription_bonus(db: Executor, charge_id: str, user_id: int) -> int:
    """Stars that a payment for a subscription brought beside its own."""
    return await ledger.credits_received(db, f"subscription:{charge_id}", user_id)


async def settle_debt(db: Executor, key: str, user_id: int) -> int:
    """Pay what the person owes out of what they have; how much that was."""
    return await ledger.settle_debt(db, f"debt:{key}", user_id)


async def give_welcome_credits(db: Executor, user_id: int, credits: int) -> None:
    """What a new person starts with, once."""
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
