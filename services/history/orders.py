"""A user's order history: their orders of services that still exist."""

from uuid import UUID

from services.generation.registry import SERVICES
from storage.jobs.jobs import Job, get_job, get_job_by_order_key, latest_user_jobs
from storage.pool import Executor


async def find_own_order(db: Executor, user_id: int, order_id: str) -> Job | None:
    """Find the order that a button refers to.

    Args:
        db: The database.
        user_id: The user who tapped the button.
        order_id: The job's id in hex, from the callback data.

    Returns:
        The order. None if the id is malformed or unknown, or belongs to another user's order, to an internal job or to
        an order of a service that no longer exists.
    """
    try:
        job = await get_job(db, UUID(order_id))
    except ValueError:
        return None
    return job if job is not None and job.user_id == user_id and job.service in SERVICES else None


async def latest_orders(db: Executor, user_id: int, *, limit: int) -> list[Job]:
    """List a user's last `limit` orders, newest first. Orders of services that no longer exist are then dropped."""
    return [job for job in await latest_user_jobs(db, user_id, limit=limit) if job.service in SERVICES]


async def was_ordered(db: Executor, order_key: str) -> bool:
    """Whether an order with this key was accepted before, however it ended."""
    return await get_job_by_order_key(db, order_key) is not None
