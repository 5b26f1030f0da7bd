"""Errors that the sandbox answers with: those of the Bot API and those of the control API."""

from sandbox.telegram.json_types import Json

CONFLICT_OTHER_POLL = (
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
)
"""Telegram's description of a 409 for a second process that polls."""


class ApiError(Exception):
    """A Bot API call that is answered with ``ok: false``.

    Descriptions are Telegram's own, as the Bot API server words them
    (https://github.com/tdlib/telegram-bot-api, Client.cpp, and TDLib behind it).

    Attributes:
        code: The HTTP status and ``error_code``.
        description: Telegram's text.
        retry_after: Seconds after which the bot may call again, with 429.
    """

    def __init__(self, code: int, description: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description
        self.retry_after = retry_after

    def body(self) -> Json:
        """Return the JSON body of the response."""
        answer: Json = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            answer["parameters"] = {"retry_after": self.retry_after}
        return answer


class ControlApiError(Exception):
    """A control API request that cannot be carried out; answered as ``{"error": …}`` with ``status``."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def bad_request(text: str) -> ApiError:
    """Return a 400 whose description has Telegram's prefix."""
    return ApiError(400, f"Bad Request: {text}")


def forbidden(text: str) -> ApiError:
    """Return a 403 whose description has Telegram's prefix."""
    return ApiError(403, f"Forbidden: {text}")
