"""Inserting a job stores each field in the column of its name."""

from datetime import timedelta
from uuid import uuid4

from storage.jobs.jobs import NewJob, insert_job
from storage.pool import Pool
from tests.support.test_data.factories import add_user

USER = 1001


async def test_insert_job_stores_every_field_under_its_own_name(db: Pool) -> None:
    await add_user(db, USER)
    new = NewJob(
        id=uuid4(),
        order_key="key",
        service="speech",
        user_id=USER,
        bot_name="bot",
        chat_id=-5,
        progress_message_id=77,
        language="ru",
        inputs={"text": "hello"},
        price=3,
        plan="A",
        start_timeout=600.0,
        summary="a voice",
        fell_back=True,
        internal=False,
    )
    job = await insert_job(db, new)
    assert job is not None
    for name in ("id", "order_key", "service", "user_id", "bot_name", "chat_id", "progress_message_id", "language",
                 "inputs", "price", "plan", "summary", "internal"):  # fmt: skip
        assert getattr(job, name) == getattr(new, name), name
    row = await db.fetchrow("SELECT fell_back, finalized, priority, claimable_at - now() AS wait FROM jobs")
    assert row is not None
    assert (row["fell_back"], row["finalized"], row["priority"]) == (True, False, 0)
    assert timedelta(seconds=590) < row["wait"] <= timedelta(seconds=600)
    assert await insert_job(db, new) is None
