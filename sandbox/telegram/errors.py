"""Refusals of the stand: those the Bot API words, and those of the person's side."""

from typing import Any


class ApiError(Exception):
    """A Bot API call that is answered with ``ok: false``.

    Descriptions are Telegram's own, as the Bot API server words them
    (https://github.com/tdlib/telegram-bot-api, Client.cpp, and TDLib behind it).
    """

    def __init__(self, code: int, description: str, *, retry_after: int | None = None) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The JSON answer of this refusal."""
        answer: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after is not None:
            answer["parameters"] = {"retry_after": self.retry_after}
        return answer


class ControlApiError(Exception):
    """A request to the person's side that cannot be done; answered as ``{"error": …}``."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def bad_request(text: str) -> ApiError:
    """400 with Telegram's prefix."""
    return ApiError(400, f"Bad Request: {text}")


def forbidden(text: str) -> ApiError:
    """403 with Telegram's prefix."""
    return ApiError(403, f"Forbidden: {text}")
