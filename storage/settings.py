"""What admins set while the bot runs: in Postgres, so that it outlives a restart and reaches every process."""

from typing import Any

from storage.pool import Executor

CHANNEL = "settings"
"""A change is announced here (LISTEN/NOTIFY); the payload is the key."""

_ALL = "SELECT key, value FROM settings WHERE starts_with(key, $1)"
_SET = """
INSERT INTO settings (key, value, changed_by) VALUES ($1, $2, $3)
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, changed_by = EXCLUDED.changed_by, changed_at = now()"""
_NOTIFY = "SELECT pg_notify($1, $2)"
_UNSET = "DELETE FROM settings WHERE key = $1"


async def get_settings(db: Executor, prefix: str) -> dict[str, Any]:
    """All settings whose key starts with `prefix`."""
    return {row["key"]: row["value"] for row in await db.fetch(_ALL, prefix)}


async def set_setting(db: Executor, key: str, value: Any, *, changed_by: int | None = None) -> None:
    await db.execute(_SET, key, value, changed_by)


async def notify(db: Executor, channel: str, payload: str) -> None:
    """Tell every process that listens on the channel."""
    await db.execute(_NOTIFY, channel, payload)


async def unset_setting(db: Executor, key: str) -> None:
    await db.execute(_UNSET, key)
