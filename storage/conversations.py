"""The state and data of each conversation, which survive a restart."""

from typing import Any

from storage.pool import Executor

ConversationKey = tuple[int, int, int, str]
"""The ids of the bot, the chat and the user, and the thread, or an empty string without one."""

_GET = """
SELECT state, data FROM conversations WHERE bot_id = $1 AND chat_id = $2 AND user_id = $3 AND thread = $4"""
_SET_STATE = """
INSERT INTO conversations (bot_id, chat_id, user_id, thread, state) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (bot_id, chat_id, user_id, thread) DO UPDATE SET state = EXCLUDED.state"""
_SET_DATA = """
INSERT INTO conversations (bot_id, chat_id, user_id, thread, data) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (bot_id, chat_id, user_id, thread) DO UPDATE SET data = EXCLUDED.data"""


async def get_conversation(db: Executor, key: ConversationKey) -> tuple[str | None, dict[str, Any]]:
    """The conversation's state and data; None and an empty dict if it has none."""
    row = await db.fetchrow(_GET, *key)
    return (None, {}) if row is None else (row["state"], row["data"])


async def set_state(db: Executor, key: ConversationKey, state: str | None) -> None:
    """Store the state and leave the data as it is."""
    await db.execute(_SET_STATE, *key, state)


async def set_data(db: Executor, key: ConversationKey, data: dict[str, Any]) -> None:
    """Store the data and leave the state as it is."""
    await db.execute(_SET_DATA, *key, data)
