"""All state of the server: bots, users, chats, files and payments."""

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.faults import Fault
from sandbox.telegram.state.files import FileStore
from sandbox.telegram.state.outbox import Outbox
from sandbox.telegram.state.payments import Payments
from sandbox.telegram.state.rate_limits import RateLimits
from sandbox.telegram.state.store import Store
from sandbox.telegram.state.update_queue import PendingUpdate, UpdateQueue
from sandbox.telegram.state.users import User

_BOT_USERNAME = "diptych_sandbox_bot"


@dataclass(slots=True)
class PendingCallback:
    """A callback query that the bot has not answered."""

    id: str
    bot_id: int
    chat_id: int
    user_id: int


def new_id() -> str:
    """Return a new id of a callback query, a pre-checkout query or an album."""
    return str(secrets.randbelow(9 * 10**17) + 10**17)


class ServerState:
    """The server's objects in memory, and the store that keeps them.

    Attributes:
        store: Keeps records of the objects; ``commit`` it after a change.
        queues: Updates by bot id.
        chats: By bot id and chat id.
        pending_callbacks: Unanswered callback queries by bot id and query id.
        pending_checkouts: Unanswered pre-checkout queries by bot id and query id: whether the bot accepts the
            payment, and its error message otherwise.
        faults: The faults in force, oldest first.
        next_dice: Values of the next dice; random when empty.
        closing: The server stops; requests that wait for a change are answered now.
    """

    def __init__(self, data_dir: Path | None) -> None:
        """Load the state from a folder, or start empty and in memory when there is none."""
        self.store = Store(data_dir)
        self.files = FileStore(self.store, data_dir / "files" if data_dir else None)
        self.payments = Payments(self.store)
        self.faults: list[Fault] = []
        self.limits = RateLimits()
        self.outbox = Outbox()
        self.users = {user.id: user for _, user in self.store.load("person", User)}
        self.bots = {bot.id: bot for _, bot in self.store.load("bot", BotAccount)}
        self.queues = {bot.id: UpdateQueue(bot, self.store) for bot in self.bots.values()}
        self.chats = {(chat.bot_id, chat.id): chat for _, chat in self.store.load("chat", Chat)}
        self.pending_callbacks = {(c.bot_id, c.id): c for _, c in self.store.load("tap", PendingCallback)}
        self.pending_checkouts: dict[tuple[int, str], asyncio.Future[tuple[bool, str | None]]] = {}
        self.next_dice: list[int] = []
        self.closing = False
        self._last_message_ids: dict[int, int] = {}
        self._initial_version = 0
        for (bot_id, chat_id, message_id), entry in self.store.load("message", Entry):
            chat = self.chats[bot_id, chat_id]
            chat.entries[message_id] = entry
            chat.version = max(chat.version, entry.version)
            self._last_message_ids[bot_id] = max(self._last_message_ids.get(bot_id, 0), message_id)
        for (bot_id, seq), pending in self.store.load("update", PendingUpdate):
            self.queues[bot_id].restore(seq, pending)

    def get_or_create_bot(self, bot_id: int) -> BotAccount:
        """Return the bot with this id, and create it at its first call."""
        bot = self.bots.get(bot_id)
        if bot is None:
            others = len(self.bots)
            bot = BotAccount(bot_id, _BOT_USERNAME if not others else f"diptych_sandbox{others + 1}_bot")
            self.bots[bot_id] = bot
            self.queues[bot_id] = UpdateQueue(bot, self.store)
            self.save_bot(bot)
        return bot

    def save_bot(self, bot: BotAccount) -> None:
        """Write a bot's record."""
        self.store.save("bot", bot.id, bot)

    def resolve_bot(self, bot_id: int | None) -> BotAccount:
        """Return the bot that a control API request is about.

        Args:
            bot_id: The bot's id; None for the first bot that has called.

        Raises:
            ControlApiError: 404 when this bot has not called, 409 when none has called yet.
        """
        if bot_id is not None and bot_id not in self.bots:
            raise ControlApiError(f"no bot {bot_id} has called the sandbox", 404)
        if not self.bots:
            raise ControlApiError("no bot has called the sandbox yet", 409)
        return self.bots[bot_id if bot_id is not None else next(iter(self.bots))]

    def get_or_create_user(self, user_id: int, known: Json | None = None) -> User:
        """Return the user with this id, created if new.

        Args:
            user_id: The user's id.
            known: Fields of the user to take over.
        """
        before = self.users.get(user_id)
        user = replace(before or User.unnamed(user_id), **known or {})
        if user != before:
            self.users[user_id] = user
            self.store.save("person", user_id, user)
            for bot_id in self.bots:
                if (chat := self.chats.get((bot_id, user_id))) is not None:
                    chat.description = user.to_telegram_chat()
                    self.save_chat(chat)
        return user

    def get_or_create_chat(self, bot_id: int, chat_id: int, title: str | None = None) -> Chat:
        """Return the chat of a bot with a user or a group, created if new.

        Args:
            bot_id: The bot.
            chat_id: The user's id, or the negative id of a group.
            title: The title of a new group.
        """
        chat = self.chats.get((bot_id, chat_id))
        if chat is None:
            if chat_id > 0:
                description = self.get_or_create_user(chat_id).to_telegram_chat()
            else:
                kind = "supergroup" if str(chat_id).startswith("-100") else "group"
                description = {"id": chat_id, "type": kind, "title": title or f"Group {abs(chat_id)}"}
            chat = Chat(bot_id, chat_id, description, version=self._initial_version)
            self.chats[bot_id, chat_id] = chat
            self.save_chat(chat)
        return chat

    def save_chat(self, chat: Chat) -> None:
        """Write a chat's record, without its messages."""
        self.store.save("chat", chat.key, chat)

    def add_entry(self, chat: Chat, content: Json, *, sender: Json, by_bot: bool) -> Entry:
        """Add a message to a chat. All chats of a bot share one sequence of ids, as private chats do in Telegram.

        Args:
            chat: The chat.
            content: The fields of ``Message`` besides id, date, chat and sender.
            sender: Telegram's ``User`` object of the sender.
            by_bot: Whether the bot has sent it.

        Returns:
            The transcript's entry; its ``message`` is the whole ``Message``.
        """
        number = self._last_message_ids[chat.bot_id] = self._last_message_ids.get(chat.bot_id, 0) + 1
        now = int(time.time())
        message = {"message_id": number, "date": now, "chat": chat.description, "from": sender, **content}
        entry = chat.entries[number] = Entry(message, by_bot)
        if by_bot:
            chat.action = None
        self.save_entry(chat, entry)
        return entry

    def save_entry(self, chat: Chat, entry: Entry) -> None:
        """Mark a message as changed and write it."""
        entry.version = chat.bump_version()
        self.store.save("message", f"{chat.key}:{entry.id}", entry)

    def add_callback(self, bot_id: int, chat_id: int, user_id: int) -> PendingCallback:
        """Add a callback query that the bot has to answer."""
        callback = PendingCallback(new_id(), bot_id, chat_id, user_id)
        self.pending_callbacks[bot_id, callback.id] = callback
        self.store.save("tap", callback.id, callback)
        return callback

    def take_callback(self, bot_id: int, callback_id: str) -> PendingCallback | None:
        """Return the unanswered callback query with this id and remove it; None when the bot has none."""
        callback = self.pending_callbacks.pop((bot_id, callback_id), None)
        if callback is not None:
            self.store.delete("tap", callback_id)
        return callback

    def reset(self) -> None:
        """Remove everything but the bots; ids and versions continue, so that none is used twice."""
        self.store.clear()
        for chat in self.chats.values():
            self._initial_version = max(self._initial_version, chat.bump_version())
        for queue in self.queues.values():
            queue.clear()
        for part in (self.chats, self.users, self.pending_callbacks, self.next_dice, self.faults):
            part.clear()
        self.files.clear()
        self.payments.clear()
        self.limits = RateLimits()
        self.outbox.clear()
        for bot in self.bots.values():
            self.save_bot(bot)

    def wake_waiters(self) -> None:
        """Answer requests that wait for a change, so that the server can stop at once."""
        self.closing = True
        self.outbox.condition.notify()
        for chat in self.chats.values():
            chat.condition.notify()
        for queue in self.queues.values():
            queue.interrupt("")

    def close(self) -> None:
        """Write the unsaved records and close the store."""
        self.store.close()
        self.files.close()
