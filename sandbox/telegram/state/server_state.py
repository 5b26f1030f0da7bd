"""All state of the server: bots, users, chats, files and payments."""

import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.telegram.errors import ControlApiError
from sandbox.telegram.json_types import Json
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import CallbackAnswer, Chat, Entry
from sandbox.telegram.state.faults import Faults
from sandbox.telegram.state.files import FileStore
from sandbox.telegram.state.outbox import Outbox
from sandbox.telegram.state.payments import Payments
from sandbox.telegram.state.rate_limits import RateLimits
from sandbox.telegram.state.store import Store
from sandbox.telegram.state.update_queue import UpdateQueue
from sandbox.telegram.state.users import User, default_name

_BOT_USERNAME = "diptych_sandbox_bot"


@dataclass(slots=True)
class PendingCallback:
    """A callback query that the bot has not answered."""

    id: str
    bot_id: int
    chat_id: int
    user_id: int


class ServerState:
    """The server's objects in memory, and the store that keeps them.

    Attributes:
        store: Keeps records of the objects; ``commit`` it after a change.
        queues: Updates by bot id.
        chats: By bot id and chat id.
        pending_callbacks: Unanswered callback queries by id.
        next_dice: Values of the next dice; random when empty.
    """

    def __init__(self, data_dir: Path | None) -> None:
        """Load the state from a folder, or start empty and in memory when there is none."""
        self.store = Store(data_dir)
        self.files = FileStore(self.store, data_dir / "files" if data_dir else None)
        self.payments = Payments(self.store)
        self.faults = Faults()
        self.limits = RateLimits()
        self.outbox = Outbox()
        self.users: dict[int, User] = {}
        self.bots: dict[int, BotAccount] = {}
        self.queues: dict[int, UpdateQueue] = {}
        self.chats: dict[tuple[int, int], Chat] = {}
        self.pending_callbacks: dict[str, PendingCallback] = {}
        self.next_dice: list[int] = []
        self._last_message_ids: dict[int, int] = {}
        self._initial_version = 0
        self._restore()

    def _restore(self) -> None:
        for _, record in self.store.load("person"):
            self.users[record["id"]] = User(**record)
        for _, record in self.store.load("bot"):
            bot = BotAccount.restore(record)
            self.bots[bot.id] = bot
            self.queues[bot.id] = UpdateQueue(bot, self.store)
        for _, record in self.store.load("chat"):
            chat = Chat(**record)
            self.chats[chat.bot_id, chat.id] = chat
        for (bot_id, chat_id, message_id), record in self._load_in_order("message"):
            entry = Entry(**record)
            chat = self.chats[bot_id, chat_id]
            chat.entries[message_id] = entry
            chat.version = max(chat.version, entry.version)
            self._last_message_ids[bot_id] = max(self._last_message_ids.get(bot_id, 0), message_id)
        for (bot_id, seq), record in self._load_in_order("update"):
            self.queues[bot_id].restore(seq, record)
        for _, record in self.store.load("tap"):
            self.pending_callbacks[record["id"]] = PendingCallback(**record)

    def _load_in_order(self, kind: str) -> list[tuple[tuple[int, ...], Json]]:
        records = [(tuple(int(part) for part in key.split(":")), record) for key, record in self.store.load(kind)]
        return sorted(records, key=lambda pair: pair[0])

    def get_or_create_bot(self, bot_id: int) -> BotAccount:
        """Return the bot with this id, and create it at its first call."""
        bot = self.bots.get(bot_id)
        if bot is None:
            others = len(self.bots)
            bot = BotAccount(bot_id, _BOT_USERNAME if not others else f"diptych_sandbox{others + 1}_bot")
            self.bots[bot_id] = bot
            self.queues[bot_id] = UpdateQueue(bot, self.store)
            self.store.save("bot", bot_id, bot.to_record())
        return bot

    def resolve_bot(self, bot_id: int | None) -> BotAccount:
        """Return the bot that a control API request is about.

        Args:
            bot_id: The bot's id; None for the first bot that has called.

        Raises:
            ControlApiError: 404 when this bot has not called, 409 when none has called yet.
        """
        if bot_id is not None:
            if bot_id not in self.bots:
                raise ControlApiError(f"no bot {bot_id} has called the sandbox", 404)
            return self.bots[bot_id]
        if not self.bots:
            raise ControlApiError("no bot has called the sandbox yet", 409)
        return next(iter(self.bots.values()))

    def get_or_create_user(self, user_id: int, known: Json | None = None) -> User:
        """Return the user with this id, created if new.

        Args:
            user_id: The user's id.
            known: Names and language to take over; see ``User.update``.
        """
        user = self.users.get(user_id)
        new = user is None
        if user is None:
            user = self.users[user_id] = User(user_id, default_name(user_id))
        if user.update(known or {}) or new:
            self.store.save("person", user_id, asdict(user))
            self._update_private_chats(user)
        return user

    def _update_private_chats(self, user: User) -> None:
        for bot_id in self.bots:
            chat = self.chats.get((bot_id, user.id))
            if chat is not None:
                chat.description = user.to_telegram_chat()
                self.save_chat(chat)

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
        self.store.save("chat", chat.key, chat.to_record())

    def new_message_id(self, bot_id: int) -> int:
        """Return the next message id; all chats of a bot share one sequence, as private chats do in Telegram."""
        number = self._last_message_ids.get(bot_id, 0) + 1
        self._last_message_ids[bot_id] = number
        return number

    def add_entry(self, chat: Chat, content: Json, *, sender: Json, by_bot: bool) -> Entry:
        """Add a message to a chat.

        Args:
            chat: The chat.
            content: The fields of ``Message`` besides id, date, chat and sender.
            sender: Telegram's ``User`` object of the sender.
            by_bot: Whether the bot has sent it.

        Returns:
            The transcript's entry; its ``message`` is the whole ``Message``.
        """
        message = {
            "message_id": self.new_message_id(chat.bot_id),
            "date": int(time.time()),
            "chat": chat.description,
            "from": sender,
            **content,
        }
        entry = Entry(message, by_bot)
        chat.entries[entry.id] = entry
        if by_bot:
            chat.action = None
        self.save_entry(chat, entry)
        return entry

    def save_entry(self, chat: Chat, entry: Entry) -> None:
        """Mark a message as changed and write it."""
        entry.version = chat.bump_version()
        self.store.save("message", f"{chat.key}:{entry.id}", entry.to_record())

    def add_callback(self, bot_id: int, chat_id: int, user_id: int) -> PendingCallback:
        """Add a callback query that the bot has to answer."""
        callback = PendingCallback(str(secrets.randbelow(9 * 10**17) + 10**17), bot_id, chat_id, user_id)
        self.pending_callbacks[callback.id] = callback
        self.store.save("tap", callback.id, asdict(callback))
        return callback

    def take_callback(self, bot_id: int, callback_id: str) -> PendingCallback | None:
        """Return the unanswered callback query with this id and remove it; None when the bot has none."""
        callback = self.pending_callbacks.get(callback_id)
        if callback is None or callback.bot_id != bot_id:
            return None
        del self.pending_callbacks[callback_id]
        self.store.delete("tap", callback_id)
        return callback

    def show_callback_answer(
        self, chat: Chat, callback: PendingCallback, text: str, *, alert: bool, url: str | None
    ) -> None:
        """Show a user the bot's answer to their callback query.

        Args:
            chat: The chat where the button was pressed.
            callback: The callback query.
            text: What to show; may be empty.
            alert: Show an alert instead of a notification.
            url: The address to open instead.
        """
        chat.callback_answers.append(
            CallbackAnswer(chat.version + 1, callback.user_id, text, alert, url, callback.id)
        )
        chat.bump_version()

    def reset(self) -> None:
        """Remove everything but the bots; ids and versions continue, so that none is used twice."""
        self.store.clear()
        for chat in self.chats.values():
            self._initial_version = max(self._initial_version, chat.bump_version())
        for queue in self.queues.values():
            queue.clear()
        self.chats.clear()
        self.users.clear()
        self.pending_callbacks.clear()
        self.next_dice.clear()
        self.files.clear()
        self.payments.clear()
        self.faults.clear()
        self.limits = RateLimits()
        self.outbox.clear()
        for bot in self.bots.values():
            self.store.save("bot", bot.id, bot.to_record())

    def close(self) -> None:
        """Write the unsaved records and close the store."""
        self.store.close()
        self.files.close()
