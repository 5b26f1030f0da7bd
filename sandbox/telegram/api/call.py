"""The way of a Bot API call: which method carries it out, with what at hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiogram.methods import TelegramMethod
from aiohttp import ClientSession

from sandbox.telegram.api.requests import AnyMethod, Upload
from sandbox.telegram.api.webhook_delivery import WebhookDelivery
from sandbox.telegram.errors import bad_request, forbidden
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.server_state import ServerState

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ApiCall:
    """What a method works with."""

    state: ServerState
    bot: BotAccount
    uploads: dict[str, Upload]
    webhook: WebhookDelivery
    session: ClientSession
    checkouts: dict[str, "PendingCheckout"]

    def get_chat(self, chat_id: int | str) -> Chat:
        """The chat a bot means; ``ApiError`` where Telegram would not let the bot in."""
        number = _parse_chat_id(chat_id)
        chat = self.state.chats.get((self.bot.id, number)) if number is not None else None
        if chat is not None and chat.started:
            return chat
        if number in self.state.users:
            raise forbidden("bot can't initiate conversation with a user")
        raise bad_request("chat not found")

    def get_writable_chat(self, chat_id: int | str) -> Chat:
        """The chat a bot wants to change; 403 where it was blocked."""
        chat = self.get_chat(chat_id)
        if chat.blocked:
            if chat.is_private:
                raise forbidden("bot was blocked by the user")
            raise forbidden(f"bot was kicked from the {chat.description['type']} chat")
        return chat

    def get_entry(self, chat: Chat, message_id: int | None, role: str) -> Entry:
        """A message that exists; ``role`` is Telegram's word for what it was wanted for."""
        entry = chat.find_entry(message_id)
        if entry is None:
            raise bad_request(f"message {role} not found")
        return entry


@dataclass(slots=True)
class PendingCheckout:
    """A pre-checkout query that waits for the bot's word."""

    id: str
    bot_id: int
    answer: Callable[[bool, str | None], None]


Method = TypeVar("Method", bound=TelegramMethod[Any])
Handler = Callable[[ApiCall, Any], Any | Awaitable[Any]]

HANDLERS: dict[type[AnyMethod], Handler] = {}


def handles(cls: type[Method]) -> Callable[[Callable[[ApiCall, Method], Any]], Callable[[ApiCall, Method], Any]]:
    """Mark a function as the one that carries out a Bot API method."""

    def mark(handler: Callable[[ApiCall, Method], Any]) -> Callable[[ApiCall, Method], Any]:
        HANDLERS[cls] = handler
        return handler

    return mark


def _parse_chat_id(chat_id: int | str) -> int | None:
    try:
        return int(chat_id)
    except ValueError:
        return None
