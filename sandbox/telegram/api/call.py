"""What a Bot API method works with, and the registry of the functions that carry methods out."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sandbox.telegram.api.requests import AnyMethod, Upload
from sandbox.telegram.api.webhook_delivery import WebhookDelivery
from sandbox.telegram.errors import bad_request, forbidden
from sandbox.telegram.state.bots import BotAccount
from sandbox.telegram.state.chats import Chat, Entry
from sandbox.telegram.state.server_state import ServerState


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One Bot API call: the bot that makes it, and what its method may use.

    Attributes:
        state: The server's state.
        uploads: The files of the request, by the name of their part.
        webhook: The bot's webhook delivery.
    """

    state: ServerState
    bot: BotAccount
    uploads: dict[str, Upload]
    webhook: WebhookDelivery

    def get_chat(self, chat_id: int | str) -> Chat:
        """Return a chat that the bot may read.

        Raises:
            ApiError: 400 when the chat is unknown, 403 when the user has not started the bot.
        """
        number = 0
        with suppress(ValueError):
            number = int(chat_id)
        chat = self.state.chats.get((self.bot.id, number))
        if chat is not None and chat.started:
            return chat
        if number in self.state.users:
            raise forbidden("bot can't initiate conversation with a user")
        raise bad_request("chat not found")

    def get_writable_chat(self, chat_id: int | str) -> Chat:
        """Return a chat that the bot may write to.

        Raises:
            ApiError: As ``get_chat``, and 403 when the bot was blocked or removed.
        """
        chat = self.get_chat(chat_id)
        if chat.blocked:
            kind = chat.description["type"]
            raise forbidden(
                "bot was blocked by the user" if kind == "private" else f"bot was kicked from the {kind} chat"
            )
        return chat

    def get_entry(self, chat: Chat, message_id: int | None, role: str) -> Entry:
        """Return a message that was not deleted.

        Args:
            chat: The chat.
            message_id: The message's id.
            role: What it is needed for, as Telegram's error says it, such as ``"to edit"``.

        Raises:
            ApiError: 400 when there is no such message.
        """
        entry = chat.find_entry(message_id)
        if entry is None:
            raise bad_request(f"message {role} not found")
        return entry


Handler = TypeVar("Handler", bound=Callable[..., Any])

HANDLERS: dict[type[AnyMethod], Callable[[ApiCall, Any], Any | Awaitable[Any]]] = {}
"""The functions that carry out methods, by aiogram's class of the method."""


def handles(cls: type[AnyMethod]) -> Callable[[Handler], Handler]:
    """Register the decorated function as the one that carries out a Bot API method.

    Args:
        cls: aiogram's class of the method. The function takes the call and an instance of it, and returns the
            ``result`` of the response, or raises ``ApiError``.
    """

    def register(handler: Handler) -> Handler:
        HANDLERS[cls] = handler
        return handler

    return register
