"""People who use the bots."""

from dataclasses import asdict, dataclass
from typing import Any

Json = dict[str, Any]

DEFAULT_USER_ID = 1001
_NAMES = ("Alex", "Maria", "Omar", "Léa", "Kenji", "Nina", "Tomás", "Ada")


def default_name(user_id: int) -> str:
    """A name for a person of whom only the id is known."""
    return _NAMES[(user_id - DEFAULT_USER_ID) % len(_NAMES)]


@dataclass(slots=True)
class User:
    """One person; their private chat with a bot has the person's id."""

    id: int
    first_name: str
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = "en"

    def to_telegram_user(self) -> Json:
        """Telegram's ``User``."""
        return {**self.known_fields(), "is_bot": False}

    def to_telegram_chat(self) -> Json:
        """Telegram's ``Chat`` of the private chat with this person."""
        chat = {**self.known_fields(), "type": "private"}
        chat.pop("language_code", None)
        return chat

    def known_fields(self) -> Json:
        """What is known of the person."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def update(self, known: Json) -> bool:
        """Take over what a request says of the person; whether that changed anything."""
        changed = False
        for name in ("first_name", "last_name", "username", "language_code"):
            value = known.get(name)
            if value is not None and value != getattr(self, name):
                setattr(self, name, value)
                changed = True
        return changed
