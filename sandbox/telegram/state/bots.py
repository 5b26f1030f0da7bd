"""Bots: every token of the right form belongs to one."""

import json
import re
import time
from dataclasses import dataclass, field
from typing import TypedDict

from sandbox.telegram.errors import ApiError
from sandbox.telegram.json_types import Json

_TOKEN = re.compile(r"([1-9][0-9]{0,15}):([A-Za-z0-9_-]{3,64})")


class WebhookConfig(TypedDict):
    """The webhook that ``setWebhook`` has set (https://core.telegram.org/bots/api#setwebhook)."""

    url: str
    secret_token: str
    max_connections: int
    ip_address: str | None


def parse_bot_id(token: str) -> int:
    """Return the id of the bot with this token.

    Raises:
        ApiError: 401 for a token that no bot can have.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ApiError(401, "Unauthorized")
    return int(match.group(1))


def _first_update_id() -> int:
    """A start that grows with time, so that a new server does not repeat the update ids of an old one."""
    return (int(time.time()) - 1_600_000_000) * 4


def command_scope_key(scope: Json, language: str | None) -> str:
    """Return the key under which a bot's commands for a scope and a language are kept."""
    return json.dumps([scope, language or ""], sort_keys=True)


def localized(texts: dict[str, str], language: str | None) -> str:
    """Return the text for a language code, or else the default one; empty when there is neither."""
    return texts.get(language or "") or texts.get("", "")


@dataclass(slots=True)
class BotAccount:
    """A bot as Telegram knows it: profile, commands, webhook and counters.

    Attributes:
        names: The bot's names by language code; the default one under an empty string.
        descriptions: As ``names``.
        short_descriptions: As ``names``.
        commands: Lists of Telegram's ``BotCommand`` by ``command_scope_key``.
        allowed_updates: The kinds of updates that the bot has asked for; None for Telegram's default.
    """

    id: int
    username: str
    names: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    short_descriptions: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[Json]] = field(default_factory=dict)
    webhook: WebhookConfig | None = None
    allowed_updates: list[str] | None = None
    next_update_id: int = field(default_factory=_first_update_id)

    def to_telegram_user(self) -> Json:
        """Return Telegram's ``User`` object of the bot."""
        name = self.names.get("") or "Diptych sandbox"
        return {"id": self.id, "is_bot": True, "first_name": name, "username": self.username}

    def visible_commands(self, chat_id: int, language: str | None) -> list[Json]:
        """Return the commands that a user sees in a chat, by Telegram's order of scopes and languages.

        See https://core.telegram.org/bots/api#determining-list-of-commands.

        Args:
            chat_id: The chat; positive for a private one.
            language: The user's language code.
        """
        all_chats = "all_private_chats" if chat_id > 0 else "all_group_chats"
        for scope in ({"chat_id": chat_id, "type": "chat"}, {"type": all_chats}, {"type": "default"}):
            for code in (language, None):
                if found := self.commands.get(command_scope_key(scope, code)):
                    return found
        return []
