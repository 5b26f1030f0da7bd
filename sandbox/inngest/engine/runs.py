"""A run of a function: what is known about it, and how it is shown."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sandbox.inngest.events import Event, ulid
from sandbox.inngest.functions.config import FunctionConfig


class RunStatus(StrEnum):
    """Where a run stands, in the words of the REST API."""

    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(slots=True)
class StepRecord:
    """What happened to one step, for the status page."""

    id: str
    name: str
    op: str
    status: str
    attempts: int = 0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One run. ``steps`` holds the results by hashed step id in the order they came, wrapped as the SDK reads
    them: ``{"data": …}`` or ``{"error": …}`` of a step, the event of a wait, null of a sleep."""

    function: FunctionConfig
    events: tuple[Event, ...]
    """More than one in a batch alone."""
    priority: int = 0
    """Seconds by which it goes before its age."""
    id: str = field(default_factory=ulid)
    status: RunStatus = RunStatus.SCHEDULED
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output: Any = None
    steps: dict[str, Any] = field(default_factory=dict)
    step_records: dict[str, StepRecord] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    """Steps of a parallel group that have not ended; the function is called again after the last."""
    must_plan_steps: bool = False
    """Whether the SDK must name its next step before running it."""

    @property
    def event(self) -> Event:
        """The first of its events, by which settings and lists go."""
        return self.events[0]

    @property
    def rank(self) -> float:
        """Runs of a lower rank are called first: the older, and those of priority."""
        return self.created_at.timestamp() - self.priority

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.ended_at is not None

    def record_step(self, step_id: str, name: str, op: str, status: str) -> StepRecord:
        """Note what a step is doing."""
        found = self.step_records.setdefault(step_id, StepRecord(step_id, name, op, status))
        found.status = status
        if status in {"Completed", "Failed", "TimedOut"}:
            found.ended_at = datetime.now(UTC)
        return found

    def to_json(self) -> dict[str, Any]:
        """The run as GET /v1/runs/{id} gives it."""
        started = self.started_at or self.created_at
        return {
            "run_id": self.id,
            "run_started_at": started.isoformat(),
            "function_id": function_uuid(self.function.id),
            "function_version": 0,
            "environment_id": "00000000-0000-4000-b000-000000000000",
            "event_id": self.event.internal_id,
            "status": self.status.value,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        } | ({"output": self.output} if self.ended and self.output is not None else {})


def function_uuid(function_id: str) -> str:
    """The server's own id of a function; always the same for the same function."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, function_id))
