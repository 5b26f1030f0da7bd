"""aiogram's FSM over Postgres: conversations survive a restart and are the same in every process."""

from collections.abc import Mapping
from typing import Any

from aiogram.fsm.state import State
from aiogram.fsm.storage.base import DEFAULT_DESTINY, BaseStorage, StateType, StorageKey

from storage import conversations as fsm
from storage.pool import Pool


class PostgresStorage(BaseStorage):
    def __init__(self, db: Pool) -> None:
        self._db = db

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        await fsm.set_state(self._db, _conversation_key(key), state.state if isinstance(state, State) else state)

    async def get_state(self, key: StorageKey) -> str | None:
        return (await fsm.get_conversation(self._db, _conversation_key(key)))[0]

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        await fsm.set_data(self._db, _conversation_key(key), dict(data))

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        return (await fsm.get_conversation(self._db, _conversation_key(key)))[1]

    async def close(self) -> None:
        """The pool belongs to the process."""


def _conversation_key(key: StorageKey) -> fsm.ConversationKey:
    parts = (key.thread_id, key.business_connection_id, key.destiny if key.destiny != DEFAULT_DESTINY else None)
    return key.bot_id, key.chat_id, key.user_id, ":".join(str(part) for part in parts if part)
