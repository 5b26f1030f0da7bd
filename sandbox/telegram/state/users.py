"""Users of the bots."""

from dataclasses import asdict, dataclass

from sandbox.telegram.json_types import Json

DEFAULT_USER_ID = 1001
"""The user who acts when a request names none."""

_NAMES = ("Alex", "Maria", "Omar", "Léa", "Kenji", "Nina", "Tomás", "Ada")


@dataclass(frozen=True, slots=True)
class User:
    """One user. The id of their private chat with a bot is their own id."""

    id: int
    first_name: str
    last_name: str | None = None
    username: str | None = None
    language_code: str | None = "en"

    @classmethod
    def unnamed(cls, user_id: int) -> "User":
        """Return a user who is known only by id."""
        return cls(user_id, _NAMES[(user_id - DEFAULT_USER_ID) % len(_NAMES)])

    def to_telegram_user(self) -> Json:
        """Return Telegram's ``User`` object."""
        return {**{name: value for name, value in asdict(self).items() if value is not None}, "is_bot": False}

    def to_telegram_chat(self) -> Json:
        """Return Telegram's ``Chat`` object of the private chat with this user."""
        not_of_chat = ("is_bot", "language_code")
        about = {name: value for name, value in self.to_telegram_user().items() if name not in not_of_chat}
        return {**about, "type": "private"}
