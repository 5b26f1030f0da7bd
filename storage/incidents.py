"""Incidents: what is wrong, since when, and who has been told. One open incident of each kind at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from storage.pool import Executor

# One statement for both: the unique index over open incidents lets one process open it, all others join.
_RECORD = """
INSERT INTO incidents (kind, opened_at, seen_at, facts) VALUES ($1, $2, $2, $3::jsonb || $4::jsonb)
ON CONFLICT (kind) WHERE closed_at IS NULL
DO UPDATE SET seen_at = greatest(incidents.seen_at, $2), facts = incidents.facts || $4::jsonb
RETURNING xmax = 0"""

_CLOSE = """
UPDATE incidents SET closed_at = $2, facts = facts || $4::jsonb
WHERE kind = $1 AND closed_at IS NULL AND seen_at <= $3 RETURNING true"""

_OPEN = "SELECT * FROM incidents WHERE closed_at IS NULL"
_NOTIFIABLE = """
SELECT * FROM incidents WHERE teller_until <= $1 AND (closed_at IS NULL OR closed_at > $2) ORDER BY id"""

_CLAIM = "UPDATE incidents SET teller_until = $3 WHERE id = $1 AND teller_until <= $2 RETURNING *"
_RECORD_SEND_ATTEMPT = """
UPDATE incidents SET told = told || jsonb_build_object($3::text, $4::jsonb)
WHERE id = $1 AND teller_until = $2 RETURNING true"""
_SAVE_ADMIN_MESSAGE = "UPDATE incidents SET told = told || jsonb_build_object($2::text, $3::jsonb) WHERE id = $1"
_RELEASE = """
UPDATE incidents SET told_text = $3, told_at = $4, teller_until = $5 WHERE id = $1 AND teller_until = $2"""
_SET_WEBHOOK_STATE = "UPDATE incidents SET posted = $3 WHERE id = $1 AND posted = $2"


@dataclass(frozen=True)
class AdminMessage:
    """An admin's one message about an incident, and the bot that sent it: ids are the bot's own.

    `message_id` is None until Telegram has answered. `unanswered` counts the sends whose end nobody knows,
    `tried_at` is when the last of them began, ISO 8601. `text` is what the message says, in English.
    `refused`: no message can reach this admin.
    """

    bot: str = ""
    message_id: int | None = None
    text: str = ""
    unanswered: int = 0
    tried_at: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Incident:
    """`seen_at` is when the trouble was last seen to last. `posted` is what the webhook was told last."""

    id: int
    kind: str
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    facts: dict[str, Any]
    admin_messages: dict[str, AdminMessage]
    webhook_state: str
    notifiable_at: datetime


def _incident(row: asyncpg.Record) -> Incident:
    told = {admin: AdminMessage(**about) for admin, about in row["told"].items()}
    return Incident(
        **{name: row[name] for name in Incident.__dataclass_fields__ if name != "told"}, admin_messages=told
    )


async def record_incident(
    db: Executor, kind: str, now: datetime, *, initial_facts: Mapping[str, Any], facts: Mapping[str, Any]
) -> bool:
    """Say that it lasts; True where that opened it. `first` are the facts that stay as they were then."""
    return bool(await db.fetchval(_RECORD, kind, now, dict(initial_facts), dict(facts)))


async def close_incident(
    db: Executor, kind: str, now: datetime, *, unseen_since: datetime, facts: Mapping[str, Any]
) -> bool:
    """Close it if nobody has seen it since then; True where this call did."""
    return bool(await db.fetchval(_CLOSE, kind, now, unseen_since, dict(facts)))


async def open_incidents(db: Executor) -> dict[str, Incident]:
    """By kind."""
    return {row["kind"]: _incident(row) for row in await db.fetch(_OPEN)}


async def notifiable_incidents(db: Executor, now: datetime, *, closed_after: datetime) -> list[Incident]:
    """Those that are open, or were closed after that moment, and that nobody tells of or has just told of."""
    return [_incident(row) for row in await db.fetch(_NOTIFIABLE, now, closed_after)]


async def claim_notification(db: Executor, incident_id: int, now: datetime, until: datetime) -> Incident | None:
    """Be the one process that tells of it, until then. None while another is, or it was told of just now."""
    row = await db.fetchrow(_CLAIM, incident_id, now, until)
    return None if row is None else _incident(row)


async def record_send_attempt(db: Executor, incident: Incident, admin: int, message: AdminMessage) -> bool:
    """Write down that a message is about to be sent. False when the claim has run out: then it must not be."""
    return bool(
        await db.fetchval(_RECORD_SEND_ATTEMPT, incident.id, incident.notifiable_at, str(admin), vars(message))
    )


async def save_admin_message(db: Executor, incident_id: int, admin: int, message: AdminMessage) -> None:
    await db.execute(_SAVE_ADMIN_MESSAGE, incident_id, str(admin), vars(message))


async def release_notification(
    db: Executor, incident: Incident, *, text: str, at: datetime, until: datetime
) -> None:
    """It was told of at that time; nobody tells of it again before `until`."""
    await db.execute(_RELEASE, incident.id, incident.notifiable_at, text, at, until)


async def set_webhook_state(db: Executor, incident: Incident, state: str) -> None:
    """The webhook has accepted `opened` or `closed`."""
    await db.execute(_SET_WEBHOOK_STATE, incident.id, incident.webhook_state, state)
