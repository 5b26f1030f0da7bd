"""Sending an errand: in the caller's own transaction, so that what it follows from cannot happen without it."""

import os
import time
from typing import Any
from uuid import UUID

from services.jobs.internal_jobs import InternalJobSpec
from storage.jobs.jobs import Job, NewJob, insert_job
from storage.jobs.outbox import add_to_outbox
from storage.pool import Executor

_START_TIMEOUT_SECONDS = 30.0


async def enqueue(
    db: Executor,
    spec: InternalJobSpec,
    key: str,
    inputs: dict[str, Any],
    *,
    user_id: int,
    bot_name: str,
    language: str,
) -> Job | None:
    """Write the errand down; the relay brings it to its plan. None where this key was sent before.

    Needs a transaction around it.
    """
    new = NewJob(
        id=new_job_id(),
        order_key=f"{spec.id}:{key}",
        service=spec.id,
        user_id=user_id,
        bot_name=bot_name,
        chat_id=user_id,
        progress_message_id=None,
        language=language,
        inputs=inputs,
        price=0,
        plan="A",
        start_timeout=_START_TIMEOUT_SECONDS,
        internal=True,
    )
    job = await insert_job(db, new)
    if job is not None:
        await add_to_outbox(db, job.id)
    return job


def new_job_id() -> UUID:
    """A UUID version 7: ids sort by time. https://www.rfc-editor.org/rfc/rfc9562#section-5.7"""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)
