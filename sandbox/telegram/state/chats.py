"""Chats and their transcripts."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from sandbox.telegram.condition import Condition
from sandbox.telegram.json_types import Json

_ACTION_SECONDS = 5.0


@dataclass(slots=True)
class Entry:
    """One message in a transcript.

    Attributes:
        message: Telegram's ``Message``, as the bot sees it.
        by_bot: Whether the bot sent it.
        version: The chat's version at the last change of this message.
        edits: How often the bot has edited it.
        reply_keyboard: The reply keyboard, its removal or the forced reply that came with it.
        invoice: The invoice behind it, with ``paid`` once it is paid.
        reactions: The bot's reactions, as emoji.
    """

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

    def button_rows(self) -> list[list[Json]]:
        """Return the rows of the message's inline keyboard."""
        rows: list[list[Json]] = self.message.get("reply_markup", {}).get("inline_keyboard", [])
        return rows


@dataclass(slots=True)
class CallbackAnswer:
    """The bot's answer to a callback query, which a user sees as a notification or an alert.

    Attributes:
        version: The chat's version when it was shown.
    """

    version: int
    user_id: int
    text: str
    alert: bool
    url: str | None
    callback_query_id: str


@dataclass(slots=True)
class Chat:
    """A chat of one bot with one user, or with a group (negative id).

    Attributes:
        description: Telegram's ``Chat`` object.
        started: Whether the bot may write to it.
        blocked: Whether the user has blocked the bot, or the group has removed it.
        reply_keyboard: The reply keyboard that is shown now.
        version: Grows with each change of the chat.
        pinned: Ids of the pinned messages, oldest first.
        entries: The messages by id, oldest first; deleted ones stay.
        callback_answers: The newest answers to callback queries.
        condition: Notified after each change.
    """

    bot_id: int
    id: int
    description: Json
    started: bool = False
    blocked: bool = False
    reply_keyboard: Json | None = None
    version: int = 0
    pinned: list[int] = field(default_factory=list)
    entries: dict[int, Entry] = field(default_factory=dict, init=False)
    callback_answers: deque[CallbackAnswer] = field(default_factory=lambda: deque(maxlen=50), init=False)
    action: str | None = field(default=None, init=False)
    action_ends: float = field(default=0.0, init=False)
    condition: Condition = field(default_factory=Condition, init=False)

    @property
    def key(self) -> str:
        """The chat's key in the store."""
        return f"{self.bot_id}:{self.id}"

    def bump_version(self) -> int:
        """Count a change and wake all requests that wait for one; returns the new version."""
        self.version += 1
        self.condition.notify()
        return self.version

    def find_entry(self, message_id: int | None) -> Entry | None:
        """Return the message with this id; None when it does not exist or was deleted."""
        entry = self.entries.get(message_id or 0)
        return None if entry is None or entry.deleted else entry

    def newest_entries(self) -> Iterator[Entry]:
        """Return the messages that were not deleted, newest first."""
        return (entry for entry in reversed(self.entries.values()) if not entry.deleted)

    def current_action(self) -> str | None:
        """Return the chat action that a user sees now, such as ``typing``."""
        return self.action if time.monotonic() < self.action_ends else None

    def show_action(self, action: str) -> None:
        """Show a chat action for five seconds or until the next message.

        See https://core.telegram.org/bots/api#sendchataction.
        """
        self.action, self.action_ends = action, time.monotonic() + _ACTION_SECONDS
        self.bump_version()
