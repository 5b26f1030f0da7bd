"""Users of the bots."""

from dataclasses import asdict, dataclass

from sandbox.telegram.json_types import Json

DEFAULT_USER_ID = 1001
"""The user who acts when a request names none."""

_NAMES = ("Alex", "Maria", "Omar", "Léa", "Kenji", "Nina", "Tomás", "Ada")


def default_name(user_id: int) -> str:
    """Return a first name for a user known only by id."""
    return _NAMES[(user_id - DEFAULT_USER_ID) % len(_NAMES)]


@dataclass(slots=True)
class User:
    """One user. The id of their private chat with a bot is their own id."""

    id: int
    first_name: str
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = "en"

    def to_telegram_user(self) -> Json:
        """Return Telegram's ``User`` object."""
        return {**self.known_fields(), "is_bot": False}

    def to_telegram_chat(self) -> Json:
        """Return Telegram's ``Chat`` object of the private chat with this user."""
        chat = {**self.known_fields(), "type": "private"}
        chat.pop("language_code", None)
        return chat

    def known_fields(self) -> Json:
        """Return the fields that have a value."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def update(self, known: Json) -> bool:
        """Take over names and language from a request.

        Args:
            known: Fields of the user; those that are missing or None stay as they are.

        Returns:
            Whether anything changed.
        """
        changed = False
        for name in ("first_name", "last_name", "username", "language_code"):
            value = known.get(name)
            if value is not None and value != getattr(self, name):
                setattr(self, name, value)
                changed = True
        return changed
