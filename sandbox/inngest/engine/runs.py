"""Runs of functions, and how the API shows them."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sandbox.inngest.events import Event, ulid
from sandbox.inngest.functions.config import FunctionConfig


class RunStatus(StrEnum):
    """The state of a run, as the REST API names it."""

    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(slots=True)
class StepRecord:
    """What the status page shows of a step."""

    id: str
    name: str
    op: str
    status: str
    attempts: int = 0
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One run.

    Attributes:
        events: The events that started it; more than one only in a batch.
        priority: Seconds by which it counts as older than it is.
        steps: Results by hashed step id, in the order of their completion and wrapped as the SDK reads them:
            ``{"data": …}`` or ``{"error": …}`` of a step, the event of a wait, null of a sleep.
        step_records: What the status page shows, by hashed step id.
        pending: Steps of a parallel group that have not ended; the function is called again after the last one.
        must_plan_steps: Whether the SDK must report its next step before it runs it.
    """

    function: FunctionConfig
    events: tuple[Event, ...]
    priority: int = 0
    id: str = field(default_factory=ulid)
    status: RunStatus = RunStatus.SCHEDULED
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output: Any = None
    steps: dict[str, Any] = field(default_factory=dict)
    step_records: dict[str, StepRecord] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    must_plan_steps: bool = False

    @property
    def event(self) -> Event:
        """The first of its events, to which settings and listings refer."""
        return self.events[0]

    @property
    def rank(self) -> float:
        """Its place among waiting runs: those of a lower rank, older or of higher priority, are called first."""
        return self.created_at.timestamp() - self.priority

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.ended_at is not None

    def record_step(self, step_id: str, name: str, op: str, status: str) -> StepRecord:
        """Create or update the record of a step.

        Args:
            step_id: The hashed id.
            name: The name that is shown.
            op: The kind of step, such as ``Sleep``.
            status: The new status.
        """
        found = self.step_records.setdefault(step_id, StepRecord(step_id, name, op, status))
        found.status = status
        if status in {"Completed", "Failed", "TimedOut"}:
            found.ended_at = datetime.now(UTC)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the run as ``GET /v1/runs/{id}`` shows it."""
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
    """Return the server's own id of a function, which is always the same for the same function."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, function_id))
