"""The orders a user has made, as the user may see them: their own, of services that still exist."""

from uuid import UUID

from services.generation.registry import SERVICES
from storage.jobs.jobs import Job, get_job, get_job_by_order_key, latest_user_jobs
from storage.pool import Executor


async def find_own_order(db: Executor, user_id: int, order_id: str) -> Job | None:
    """The order that a button refers to.

    Args:
        db: Where to look.
        user_id: Who tapped the button.
        order_id: The job's id as hex digits, as the button carries it.

    Returns:
        The order; None where the id is malformed, is another user's order or an internal job, or names an order of a
        service that the bot no longer offers.
    """
    try:
        job = await get_job(db, UUID(order_id))
    except ValueError:
        return None
    return job if job is not None and job.user_id == user_id and job.service in SERVICES else None


async def latest_orders(db: Executor, user_id: int, *, limit: int) -> list[Job]:
    """A user's last `limit` orders, newest first; those of services that no longer exist are left out of these."""
    return [job for job in await latest_user_jobs(db, user_id, limit=limit) if job.service in SERVICES]


async def was_ordered(db: Executor, order_key: str) -> bool:
    """Whether an order with this key was accepted before, however it ended."""
    return await get_job_by_order_key(db, order_key) is not None
