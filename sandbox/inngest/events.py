"""Events: read from requests, given ids, and kept."""

import base64
import binascii
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Final

MAX_EVENT_BYTES: Final = 3 * 1024 * 1024  # consts.AbsoluteMaxEventSize of inngest/inngest
MAX_EVENTS: Final = 5_000
INTERNAL_PREFIX: Final = "inngest/"
INTERNAL_FIELD: Final = "_inngest"

FINISHED: Final = "inngest/function.finished"
FAILED: Final = "inngest/function.failed"
CANCELLED: Final = "inngest/function.cancelled"
INVOKED: Final = "inngest/function.invoked"
CRON: Final = "inngest/scheduled.timer"

_BASE32_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class EventError(ValueError):
    """Events that the server refuses; the message is the one of the real server."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        internal_id: The server's id, a ULID.
        id: The sender's id, or ``internal_id`` when it has given none.
        ts: When it happened, in milliseconds since the epoch.
        v: The version that the sender has given.
        received: When the server got it, in seconds since the epoch.
    """

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    internal_id: str = ""
    id: str = ""
    ts: int = 0
    user: dict[str, Any] = field(default_factory=dict)
    v: str | None = None
    received: float = field(default_factory=time.time)

    def payload(self) -> dict[str, Any]:
        """Return the event as functions and expressions see it."""
        shown = {"name": self.name, "data": self.data, "user": self.user, "id": self.id, "ts": self.ts}
        return shown | ({"v": self.v} if self.v else {})


def ulid(millis: int | None = None, entropy: bytes | None = None) -> str:
    """Return a ULID: 48 bits of time and 80 random bits in Crockford's base 32 (https://github.com/ulid/spec).

    Args:
        millis: The time in milliseconds since the epoch; by default now.
        entropy: The 10 random bytes; by default new ones.
    """
    stamp = int(time.time() * 1000) if millis is None else millis
    number = (stamp << 80) | int.from_bytes(entropy or secrets.token_bytes(10), "big")
    return "".join(_BASE32_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def event_id_from_seed(seed: str | None, index: int) -> str:
    """Return the internal id of an event in a request; a repeated request gets the same ids.

    Args:
        seed: The header ``x-inngest-event-id-seed``, which is ``millis,base64 of 10 bytes``. Without it, or when it
            is malformed, the id is new.
        index: The event's place in the request, from 1.
    """
    try:
        millis, _, text = (seed or "").partition(",")
        entropy = base64.b64decode(text, validate=True)
        if int(millis) <= 0 or len(entropy) != 10:
            return ulid()
        tail = (int.from_bytes(entropy[6:], "big") + index) % 2**32
        return ulid(int(millis), entropy[:6] + tail.to_bytes(4, "big"))
    except (ValueError, binascii.Error):
        return ulid()


def internal_event(name: str, data: dict[str, Any], event_id: str | None = None) -> Event:
    """Return an event that the server itself sends; its id is new unless given."""
    number = ulid()
    return Event(name, data, internal_id=number, id=event_id or number, ts=int(time.time() * 1000))


def read_events(body: bytes, seed: str | None) -> list[Event]:
    """Return the events of a ``POST /e/{key}``.

    Args:
        body: One JSON object or a list of them.
        seed: See ``event_id_from_seed``.

    Raises:
        EventError: When the server refuses any of them.
    """
    try:
        raw = json.loads(body)
    except ValueError as error:
        raise EventError(str(error)) from error
    if not isinstance(raw, dict | list):
        raise EventError("Request body must contain an event object or an array of event objects")
    items = raw if isinstance(raw, list) else [raw]
    if len(items) > MAX_EVENTS:
        raise EventError(f"You cannot send more than {MAX_EVENTS} events")
    return [_read_event(item, seed, index) for index, item in enumerate(items, start=1)]


def _read_event(raw: object, seed: str | None, index: int) -> Event:
    if not isinstance(raw, dict):
        raise EventError("json: cannot unmarshal into an event")
    size = len(json.dumps(raw, separators=(",", ":")).encode())
    if size > MAX_EVENT_BYTES:
        raise EventError(f"Event is over the max size: Max {MAX_EVENT_BYTES} bytes / Size {size} bytes")
    name = raw.get("name") or ""
    if not isinstance(name, str) or not name:
        raise EventError("event name is empty")
    if name.lower().startswith(INTERNAL_PREFIX):
        raise EventError(f"event name is reserved for internal use: {name}")
    data = raw.get("data") or {}
    if not isinstance(data, dict):
        raise EventError("json: cannot unmarshal into Go struct field raw.data of type map[string]interface {}")
    number = event_id_from_seed(seed, index)
    return Event(
        name=name,
        data={key: value for key, value in data.items() if key != INTERNAL_FIELD},
        internal_id=number,
        id=str(raw.get("id") or number),
        ts=int(raw.get("ts") or time.time() * 1000),
        user=raw.get("user") or {},
        v=raw.get("v"),
    )
