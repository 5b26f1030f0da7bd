"""What an errand is: a job that nobody ordered. It costs nothing and shows no progress; all else is the same."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from services.durable.steps import Steps
from services.messaging.app_context import AppContext
from storage.jobs.jobs import Job


@dataclass(frozen=True)
class InternalJobContext:
    """What an errand's `run` is given. Each thing that must happen once is a step."""

    studio: AppContext
    job: Job
    steps: Steps


@dataclass(frozen=True)
class InternalJobSpec:
    """`run` gives what the job keeps as its result. Raises Failure, which ends the job as failed."""

    id: str
    event: str
    function_id: str
    run: Callable[[InternalJobContext], Awaitable[dict[str, Any]]]
    concurrency: int = 5
    """Runs at once over all processes on Plan A."""
    starts_per_minute: int = 600
