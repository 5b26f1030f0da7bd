"""Incidents: what is wrong, since when, and which admins were notified. At most one of each kind is open."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from storage.pool import Executor

# Opens the incident, or updates it: the unique index on open incidents lets only one process open it.
_RECORD = """
INSERT INTO incidents (kind, opened_at, last_seen_at, facts) VALUES ($1, $2, $2, $3::jsonb || $4::jsonb)
ON CONFLICT (kind) WHERE closed_at IS NULL
DO UPDATE SET last_seen_at = greatest(incidents.last_seen_at, $2), facts = incidents.facts || $4::jsonb
RETURNING xmax = 0"""

_CLOSE = """
UPDATE incidents SET closed_at = $2, facts = facts || $4::jsonb
WHERE kind = $1 AND closed_at IS NULL AND last_seen_at <= $3 RETURNING true"""

_OPEN = "SELECT * FROM incidents WHERE closed_at IS NULL"
_NOTIFIABLE = """
SELECT * FROM incidents WHERE notifiable_at <= $1 AND (closed_at IS NULL OR closed_at > $2) ORDER BY id"""

_CLAIM = "UPDATE incidents SET notifiable_at = $3 WHERE id = $1 AND notifiable_at <= $2 RETURNING *"
_RECORD_SEND_ATTEMPT = """
UPDATE incidents SET admin_messages = admin_messages || jsonb_build_object($3::text, $4::jsonb)
WHERE id = $1 AND notifiable_at = $2 RETURNING true"""
_SAVE_ADMIN_MESSAGE = """
UPDATE incidents SET admin_messages = admin_messages || jsonb_build_object($2::text, $3::jsonb) WHERE id = $1"""
_RELEASE = """
UPDATE incidents SET notified_text = $3, notified_at = $4, notifiable_at = $5
WHERE id = $1 AND notifiable_at = $2"""
_SET_WEBHOOK_STATE = "UPDATE incidents SET webhook_state = $3 WHERE id = $1 AND webhook_state = $2"


@dataclass(frozen=True)
class AdminMessage:
    """The one message about an incident in an admin's chat. Stored as JSON with these names.

    Attributes:
        bot: The bot that sent it: message ids belong to one bot.
        message_id: None until Telegram has answered.
        text: What the message says, in English.
        unanswered: How many sends have an unknown outcome.
        tried_at: When the latest of them started, ISO 8601.
        refused: Messages cannot reach this admin.
    """

    bot: str = ""
    message_id: int | None = None
    text: str = ""
    unanswered: int = 0
    tried_at: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Incident:
    """An incident.

    Attributes:
        last_seen_at: When a health check last found the problem.
        admin_messages: By the admin's id, as a string.
        webhook_state: What the alert webhook accepted last: empty for nothing, `opened` or `closed`.
        notifiable_at: When a process may notify admins next.
    """

    id: int
    kind: str
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    facts: dict[str, Any]
    admin_messages: dict[str, AdminMessage]
    webhook_state: str
    notifiable_at: datetime


_FIELDS = tuple(name for name in Incident.__dataclass_fields__ if name != "admin_messages")


def _incident(row: asyncpg.Record) -> Incident:
    messages = {admin: AdminMessage(**message) for admin, message in row["admin_messages"].items()}
    return Incident(**{name: row[name] for name in _FIELDS}, admin_messages=messages)


async def record_incident(
    db: Executor, kind: str, now: datetime, *, initial_facts: Mapping[str, Any], facts: Mapping[str, Any]
) -> bool:
    """Record that a health check found the problem.

    Args:
        db: The pool or a connection.
        kind: The kind of incident.
        now: When it was found.
        initial_facts: Stored only if this call opens the incident.
        facts: Stored on every call.

    Returns:
        True if this call opened the incident.
    """
    return bool(await db.fetchval(_RECORD, kind, now, dict(initial_facts), dict(facts)))


async def close_incident(
    db: Executor, kind: str, now: datetime, *, unseen_since: datetime, facts: Mapping[str, Any]
) -> bool:
    """Close an incident, unless a health check has found the problem since `unseen_since`.

    Args:
        db: The pool or a connection.
        kind: The kind of incident.
        now: When it is closed.
        unseen_since: The incident stays open if it was seen after this.
        facts: Added to those of the incident.

    Returns:
        True if this call closed the incident.
    """
    return bool(await db.fetchval(_CLOSE, kind, now, unseen_since, dict(facts)))


async def open_incidents(db: Executor) -> dict[str, Incident]:
    """All open incidents by kind."""
    return {row["kind"]: _incident(row) for row in await db.fetch(_OPEN)}


async def notifiable_incidents(db: Executor, now: datetime, *, closed_after: datetime) -> list[Incident]:
    """Incidents about which admins may be notified now: open, or closed after `closed_after`."""
    return [_incident(row) for row in await db.fetch(_NOTIFIABLE, now, closed_after)]


async def claim_notification(db: Executor, incident_id: int, now: datetime, until: datetime) -> Incident | None:
    """Claim an incident until `until`, in order to notify admins of it. None if it is not notifiable now."""
    row = await db.fetchrow(_CLAIM, incident_id, now, until)
    return None if row is None else _incident(row)


async def record_send_attempt(db: Executor, incident: Incident, admin: int, message: AdminMessage) -> bool:
    """Record that a message is about to be sent. False if the claim has expired and it must not be sent."""
    values = incident.id, incident.notifiable_at, str(admin), vars(message)
    return bool(await db.fetchval(_RECORD_SEND_ATTEMPT, *values))


async def save_admin_message(db: Executor, incident_id: int, admin: int, message: AdminMessage) -> None:
    """Record what an admin's message says now, or why there is none."""
    await db.execute(_SAVE_ADMIN_MESSAGE, incident_id, str(admin), vars(message))


async def release_notification(
    db: Executor, incident: Incident, *, text: str, at: datetime, until: datetime
) -> None:
    """Record that admins were notified.

    Args:
        db: The pool or a connection.
        incident: As the claim returned it.
        text: What the messages say, in English.
        at: When they were sent or edited.
        until: No process notifies them of the incident again before this.
    """
    await db.execute(_RELEASE, incident.id, incident.notifiable_at, text, at, until)


async def set_webhook_state(db: Executor, incident: Incident, state: str) -> None:
    """Record that the alert webhook has accepted `opened` or `closed`."""
    await db.execute(_SET_WEBHOOK_STATE, incident.id, incident.webhook_state, state)
