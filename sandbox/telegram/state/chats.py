"""Chats and their transcripts."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.telegram.condition import Condition

Json = dict[str, Any]

ACTION_SECONDS = 5.0


@dataclass(slots=True)
class Entry:
    """One message in a transcript. ``message`` is Telegram's ``Message`` as the bot sees it."""

    message: Json
    by_bot: bool
    version: int = 0
    edits: int = 0
    deleted: bool = False
    reply_keyboard: Json | None = None
    invoice: Json | None = None
    reactions: list[str] = field(default_factory=list)

    @property
    def id(self) -> int:
        """The message's id in its chat."""
        return int(self.message["message_id"])

    def to_record(self) -> Json:
        """What the store keeps."""
        return {name: getattr(self, name) for name in self.__slots__}

    def button_rows(self) -> list[list[Json]]:
        """The rows of the message's inline keyboard."""
        markup: Json = self.message.get("reply_markup") or {}
        rows: list[list[Json]] = markup.get("inline_keyboard", [])
        return rows


@dataclass(slots=True)
class CallbackAnswer:
    """Something a person sees for a moment: the answer to a tap."""

    version: int
    user_id: int
    text: str
    alert: bool
    url: str | None
    callback_query_id: str


@dataclass(slots=True)
class Chat:
    """A chat of one bot with one person, or with a group (negative id)."""

    bot_id: int
    id: int
    description: Json
    started: bool = False
    blocked: bool = False
    reply_keyboard: Json | None = None
    version: int = 0
    pinned: list[int] = field(default_factory=list)
    entries: dict[int, Entry] = field(default_factory=dict)
    callback_answers: deque[CallbackAnswer] = field(default_factory=lambda: deque(maxlen=50))
    action: str | None = None
    action_ends: float = 0.0
    condition: Condition = field(default_factory=Condition)

    @property
    def key(self) -> str:
        """The chat's key in the store."""
        return f"{self.bot_id}:{self.id}"

    @property
    def is_private(self) -> bool:
        """Whether this is a person's own chat with the bot."""
        return self.id > 0

    def to_record(self) -> Json:
        """What the store keeps, without the transcript."""
        kept = ("bot_id", "id", "description", "started", "blocked", "reply_keyboard", "version", "pinned")
        return {name: getattr(self, name) for name in kept}

    def bump_version(self) -> int:
        """Count a change, wake who waits for it, and return the new version."""
        self.version += 1
        self.condition.notify()
        return self.version

    def find_entry(self, message_id: int | None) -> Entry | None:
        """A message that exists and was not deleted."""
        entry = self.entries.get(message_id or 0)
        return None if entry is None or entry.deleted else entry

    def newest_entries(self) -> Iterator[Entry]:
        """Messages that exist, newest first."""
        return (entry for entry in reversed(self.entries.values()) if not entry.deleted)

    def current_action(self) -> str | None:
        """``typing`` and the like, while the person would see it."""
        return self.action if self.action and time.monotonic() < self.action_ends else None

    def show_action(self, action: str) -> None:
        """A chat action lasts five seconds or until the next message."""
        self.action, self.action_ends = action, time.monotonic() + ACTION_SECONDS
        self.bump_version()
