"""Rows that tests need before they start."""

from typing import Any
from uuid import UUID, uuid4

from services.ledger import credits as ledger
from storage.jobs.jobs import Job, NewJob, Plan, insert_job
from storage.pool import Pool
from storage.users.users import TelegramProfile, register_user

INPUTS = {"model": "flux-schnell", "prompt": "a lighthouse", "size": "1:1", "count": "1"}


async def add_user(db: Pool, user_id: int = 1001, *, credits: int = 100) -> int:
    await register_user(db, TelegramProfile(user_id, "main", "en", None, "Ann"))
    await ledger.give_welcome_credits(db, user_id, credits)
    return user_id


def new_job(user_id: int = 1001, **changes: Any) -> NewJob:
    job_id: UUID = uuid4()
    values: dict[str, Any] = {
        "id": job_id,
        "order_key": f"test:{job_id}",
        "service": "text_to_image",
        "user_id": user_id,
        "bot_name": "main",
        "chat_id": user_id,
        "progress_message_id": None,
        "language": "en",
        "inputs": INPUTS,
        "price": 4,
        "plan": "B",
        "start_timeout": 0.0,
    }
    return NewJob(**{**values, **changes})


async def add_job(db: Pool, user_id: int = 1001, *, plan: Plan = "B", **changes: Any) -> Job:
    """A queued job whose price is held."""
    new = new_job(user_id, plan=plan, **changes)
    async with db.acquire() as connection, connection.transaction():
        job = await insert_job(connection, new)
        await ledger.hold(connection, new)
    assert job is not None
    return job
