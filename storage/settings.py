"""Settings that admins change while the bot runs. In PostgreSQL they survive a restart and reach every process."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.pool import Executor

CHANNEL = "settings"
"""A trigger announces every change here (LISTEN/NOTIFY); the payload is the key."""

_ALL = "SELECT key, value FROM settings WHERE starts_with(key, $1)"
# Stores the setting and its log entry in one statement.
_SET = """
WITH log AS (INSERT INTO settings_log (key, value, changed_by) VALUES ($1, $2, $3))
INSERT INTO settings (key, value, changed_by) VALUES ($1, $2, $3)
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, changed_by = EXCLUDED.changed_by, changed_at = now()"""
_NOTIFY = "SELECT pg_notify($1, $2)"
_UNSET = """
WITH removed AS (DELETE FROM settings WHERE key = $1 RETURNING key)
INSERT INTO settings_log (key, changed_by) SELECT key, $2 FROM removed"""
_LOG = """
SELECT key, value, changed_by, changed_at FROM settings_log
WHERE starts_with(key, $1) ORDER BY id DESC LIMIT $2"""


@dataclass(frozen=True)
class SettingChange:
    """A change of a setting. `value` is None if it was removed; `changed_by` is the admin's Telegram user id."""

    key: str
    value: Any
    changed_by: int | None
    changed_at: datetime


async def get_settings(db: Executor, prefix: str) -> dict[str, Any]:
    """All settings whose key starts with `prefix`."""
    return {row["key"]: row["value"] for row in await db.fetch(_ALL, prefix)}


async def set_setting(db: Executor, key: str, value: Any, *, changed_by: int | None = None) -> None:
    """Store a setting. `changed_by` is the admin's Telegram user id, if an admin changed it."""
    await db.execute(_SET, key, value, changed_by)


async def notify(db: Executor, channel: str, payload: str) -> None:
    """Send the payload to every process that listens on the channel."""
    await db.execute(_NOTIFY, channel, payload)


async def unset_setting(db: Executor, key: str, *, changed_by: int | None = None) -> None:
    """Remove a setting, if it is set."""
    await db.execute(_UNSET, key, changed_by)


async def latest_changes(db: Executor, prefix: str, *, limit: int) -> list[SettingChange]:
    """The latest changes of settings whose key starts with `prefix`, newest first."""
    return [SettingChange(**dict(row)) for row in await db.fetch(_LOG, prefix, limit)]
