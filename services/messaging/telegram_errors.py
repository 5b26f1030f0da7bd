"""What Telegram's refusals mean for a message we want to bring to a person."""

from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)

from services.core.errors import Failure, PermanentFailure, Unavailable

_UNREACHABLE_MESSAGES = (
    "chat not found",
    "user is deactivated",
    "bot can't initiate conversation",
    "peer_id_invalid",
)


def is_user_unreachable(error: TelegramAPIError) -> bool:
    """Whether no message can reach the person: blocked, deactivated, or never wrote to this bot."""
    if isinstance(error, TelegramForbiddenError):
        return True
    return isinstance(error, TelegramBadRequest) and any(
        gone in error.message.lower() for gone in _UNREACHABLE_MESSAGES
    )


def is_edit_unnecessary(error: TelegramAPIError) -> bool:
    """Whether an edit failed only because there is nothing left to change."""
    text = error.message.lower()
    return isinstance(error, TelegramBadRequest) and (
        "message is not modified" in text or "message to edit not found" in text or "can't be edited" in text
    )


def to_delivery_failure(error: TelegramAPIError) -> Failure:
    if isinstance(error, TelegramRetryAfter):
        return Unavailable("failure.telegram", detail=error.message, retry_after=float(error.retry_after))
    if isinstance(error, TelegramServerError | TelegramNetworkError):
        return Unavailable("failure.telegram", detail=error.message)
    return PermanentFailure("failure.delivery", detail=error.message)
