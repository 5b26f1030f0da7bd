"""Stores aiogram's conversation states in PostgreSQL: they survive a restart and are the same in every process."""

from collections.abc import Mapping
from typing import Any

from aiogram.fsm.state import State
from aiogram.fsm.storage.base import DEFAULT_DESTINY, BaseStorage, StateType, StorageKey

from storage import conversations
from storage.conversations import ConversationKey
from storage.pool import Pool


class PostgresStorage(BaseStorage):
    """Stores the state and the data of each conversation in one row.

    Args:
        db: The connection pool. Closing the storage does not close it.
    """

    def __init__(self, db: Pool) -> None:
        self._db = db

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        """Set a conversation's state. None removes it."""
        name = state.state if isinstance(state, State) else state
        await conversations.set_state(self._db, _conversation_key(key), name)

    async def get_state(self, key: StorageKey) -> str | None:
        """A conversation's state; None if it has none."""
        state, _ = await conversations.get_conversation(self._db, _conversation_key(key))
        return state

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        """Replace a conversation's data, which must be JSON."""
        await conversations.set_data(self._db, _conversation_key(key), dict(data))

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        """A conversation's data; empty if it has none."""
        _, data = await conversations.get_conversation(self._db, _conversation_key(key))
        return data

    async def close(self) -> None:
        """Nothing to close: the pool belongs to the process."""


def _conversation_key(key: StorageKey) -> ConversationKey:
    parts = (key.thread_id, key.business_connection_id, key.destiny if key.destiny != DEFAULT_DESTINY else None)
    return key.bot_id, key.chat_id, key.user_id, ":".join(str(part) for part in parts if part)
