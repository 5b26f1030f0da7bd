"""Credits: whole Telegram Stars. Every move has a key of its own, so that repeating it changes nothing."""

from storage import ledger
from storage.jobs import Job, NewJob
from storage.pool import Executor


async def hold(db: Executor, job: NewJob) -> None:
    """Set the price of an order aside. Raises NotEnoughCredits, which undoes the transaction around it."""
    if job.price:
        await ledger.move(
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
    return await ledger.move(
        db,
        key=f"settle:{job.id}",  # one key for both, so that a job is either captured or released, once
        kind=kind,
        user_id=job.user_id,
        source="held",
        target=target,
        amount=job.price,
        job_id=job.id,
    )


async def welcome(db: Executor, user_id: int, credits_given: int) -> None:
    """What a new person starts with, once."""
    if credits_given:
        await ledger.move(
            db,
            key=f"welcome:{user_id}",
            kind="welcome",
            user_id=user_id,
            source="bonuses",
            target="available",
            amount=credits_given,
        )
