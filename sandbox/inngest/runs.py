"""Events and the runs that they start."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from ulid import ULID

from sandbox.inngest.functions import FunctionConfig

FAILED: Final = "inngest/function.failed"
CRON: Final = "inngest/scheduled.timer"
ULID_LENGTH: Final = 26
_MAX_EVENT_BYTES: Final = 3 * 1024 * 1024  # consts.AbsoluteMaxEventSize of inngest/inngest


def new_id() -> str:
    """Return a new ULID."""
    return str(ULID())


class EventError(ValueError):
    """Events that the server refuses; the message is the one of the real server."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        internal_id: The server's id, a ULID.
        id: The sender's id, or ``internal_id`` when it has given none.
        ts: When it happened, in milliseconds since the epoch.
    """

    name: str
    data: dict[str, Any]
    internal_id: str
    id: str
    ts: int

    @classmethod
    def create(cls, name: str, data: dict[str, Any], event_id: str | None = None) -> "Event":
        """Return an event that the server itself sends; its id is new unless given."""
        internal_id = new_id()
        return cls(name, data, internal_id, event_id or internal_id, int(time.time() * 1000))

    def payload(self) -> dict[str, Any]:
        """Return the event as functions and expressions see it."""
        return {"name": self.name, "data": self.data, "id": self.id, "ts": self.ts}


def read_events(body: bytes, seed: str | None) -> list[Event]:
    """Return the events of a ``POST /e/{key}``.

    Args:
        body: One JSON object or a list of them.
        seed: The header ``x-inngest-event-id-seed``: a repeated request has the same one, and its events get the same
            internal ids.

    Raises:
        EventError: When the server refuses any of them.
    """
    try:
        raw = json.loads(body)
    except ValueError as error:
        raise EventError(str(error)) from error
    events = []
    for index, item in enumerate(raw if isinstance(raw, list) else [raw]):
        if not isinstance(item, dict):
            raise EventError("Request body must contain an event object or an array of event objects")
        digest = hashlib.sha256(f"{seed} {index}".encode()).digest()
        events.append(_read_event(item, str(ULID.from_bytes(digest[:16])) if seed else new_id()))
    return events


def _read_event(raw: dict[str, Any], internal_id: str) -> Event:
    size = len(json.dumps(raw, separators=(",", ":")).encode())
    if size > _MAX_EVENT_BYTES:
        raise EventError(f"Event is over the max size: Max {_MAX_EVENT_BYTES} bytes / Size {size} bytes")
    name, data = raw.get("name"), raw.get("data") or {}
    if not isinstance(name, str) or not name:
        raise EventError("event name is empty")
    if name.lower().startswith("inngest/"):
        raise EventError(f"event name is reserved for internal use: {name}")
    if not isinstance(data, dict):
        raise EventError("json: cannot unmarshal into Go struct field raw.data of type map[string]interface {}")
    ts = int(raw.get("ts") or time.time() * 1000)
    return Event(name, data, internal_id, str(raw.get("id") or internal_id), ts)


class RunStatus(StrEnum):
    """The state of a run, as the REST API names it."""

    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(slots=True, eq=False)
class Run:
    """One run.

    Attributes:
        priority: Seconds by which it counts as older than it is.
        steps: Results by hashed step id, in the order of their completion and wrapped as the SDK reads them:
            ``{"data": …}`` or ``{"error": …}`` of a step, the event of a wait, null of a sleep.
        step_statuses: The status of each step by its name, for the status page.
    """

    function: FunctionConfig
    event: Event
    priority: int = 0
    id: str = field(default_factory=new_id)
    status: RunStatus = RunStatus.SCHEDULED
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output: Any = None
    steps: dict[str, Any] = field(default_factory=dict)
    step_statuses: dict[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> float:
        """Its place among waiting runs: those of a lower rank, older or of higher priority, are called first."""
        return self.created_at.timestamp() - self.priority

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.ended_at is not None

    def to_json(self) -> dict[str, Any]:
        """Return the run as ``GET /v1/runs/{id}`` shows it."""
        shown = {
            "run_id": self.id,
            "event_id": self.event.internal_id,
            "status": self.status.value,
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }
        return shown | ({"output": self.output} if self.ended and self.output is not None else {})
