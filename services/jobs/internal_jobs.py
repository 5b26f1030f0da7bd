"""Internal jobs: work that nobody ordered (payment follow-ups, broadcasts, notifications, game turns).

An internal job costs nothing, shows no progress and is not in any user's history. It has the same lease, journal and
plans as an order, so it is never lost.
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
    """The context of one run of an internal job. Anything that must happen only once has to be a step."""

    job: Job
    steps: Steps


RunInternalJob = Callable[[InternalJobContext], Awaitable[dict[str, Any]]]
"""Does the work and returns the job's result as JSON. A Failure ends the job as failed."""


@dataclass(frozen=True)
class InternalJobSpec:
    """A kind of internal job.

    Attributes:
        id: The id of the kind, stored as `service` in its jobs.
        event: The Inngest event that starts a job on Plan A.
        function_id: The Inngest function that runs a job on Plan A.
        concurrency: The most runs at once on Plan A, across all processes.
        starts_per_minute: The most runs started per minute on Plan A, across all processes.
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
    """Write an internal job and its outbox row. The publisher then sends it to its plan.

    Call this in the transaction of the change that the job follows from, so that both happen or neither does.

    Args:
        db: A connection inside a transaction.
        spec: The kind of job.
        key: The key of the job among those of its kind. The same key never becomes a second job.
        inputs: The job's inputs, as JSON.
        user_id: The user the job is about.
        bot_name: The bot that writes to the user.
        language: The user's language.

    Returns:
        The job, or None if this key was enqueued before.
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
    """Create a version 7 UUID, so that ids sort by time: https://www.rfc-editor.org/rfc/rfc9562#section-5.7"""
    number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10))
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)
