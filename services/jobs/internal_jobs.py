"""Internal jobs: work that nobody ordered (payment follow-ups, broadcasts, notifications, game turns).

An internal job costs nothing, shows no progress and is in no user's history. Lease, journal and plans are the same
as an order's, so it is not lost either.
"""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from services.durable.steps import Steps
from storage.jobs.jobs import Job, NewJob, insert_job
from storage.jobs.outbox import add_to_outbox
from storage.pool import Executor

_START_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class InternalJobContext:
    """What an internal job is given for one run. Each thing that must happen once is a step."""

    job: Job
    steps: Steps


RunInternalJob = Callable[[InternalJobContext], Awaitable[dict[str, Any]]]
"""Does the work and returns what the job keeps as its result. Raises Failure, which ends the job as failed."""


@dataclass(frozen=True)
class InternalJobSpec:
    """A kind of internal job.

    Attributes:
        id: Its id, which is the `service` of its jobs.
        event: The Inngest event that starts it on Plan A.
        function_id: The Inngest function that runs it.
        concurrency: Runs at once over all processes on Plan A.
        starts_per_minute: Runs started per minute over all processes on Plan A.
    """

    id: str
    event: str
    function_id: str
    concurrency: int = 5
    starts_per_minute: int = 600


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
    """Write an internal job and its outbox row; the publisher sends it to its plan.

    Call it inside the transaction of what it follows from: then neither can happen without the other.

    Args:
        db: A connection with a transaction around it.
        spec: The kind of job.
        key: Names this job among its kind; the same key never becomes a second job.
        inputs: What the job needs to know, as JSON.
        user_id: The user it is about.
        bot_name: The bot that writes to them.
        language: Their language.

    Returns:
        The job; None where this key was enqueued before.
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
    """A UUID version 7, so that ids sort by time. https://www.rfc-editor.org/rfc/rfc9562#section-5.7"""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)
