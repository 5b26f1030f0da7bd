"""Bots: every token of the right shape is one."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from sandbox.telegram.errors import ApiError

Json = dict[str, Any]

_TOKEN = re.compile(r"([1-9][0-9]{0,15}):([A-Za-z0-9_-]{3,64})")


@dataclass(slots=True)
class WebhookConfig:
    """What ``setWebhook`` has set."""

    url: str
    secret_token: str = ""
    max_connections: int = 40
    allowed_updates: list[str] | None = None
    ip_address: str | None = None


def parse_bot_id(token: str) -> int:
    """The bot's id; raises ``ApiError`` 401 for a token that none could have."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise ApiError(401, "Unauthorized")
    return int(match.group(1))


def first_update_id() -> int:
    """A start that grows with time, so that a new stand does not repeat an old one's update ids."""
    return (int(time.time()) - 1_600_000_000) * 4


@dataclass(slots=True)
class BotAccount:
    """A bot as Telegram knows it: its profile, commands, webhook and counters."""

    id: int
    username: str
    names: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    short_descriptions: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[Json]] = field(default_factory=dict)
    menu_button: Json = field(default_factory=lambda: {"type": "default"})
    webhook: WebhookConfig | None = None
    allowed_updates: list[str] | None = None
    next_update_id: int = field(default_factory=first_update_id)

    def to_telegram_user(self) -> Json:
        """Telegram's ``User`` in messages."""
        name = self.names.get("") or "Diptych sandbox"
        return {"id": self.id, "is_bot": True, "first_name": name, "username": self.username}

    def to_record(self) -> Json:
        """What the store keeps."""
        kept = {name: getattr(self, name) for name in self.__slots__}
        if self.webhook is not None:
            kept["webhook"] = {name: getattr(self.webhook, name) for name in self.webhook.__slots__}
        return kept

    @classmethod
    def restore(cls, record: Json) -> "BotAccount":
        """The bot of a stored record."""
        if record.get("webhook"):
            record = {**record, "webhook": WebhookConfig(**record["webhook"])}
        return cls(**record)
