"""Classifies Telegram's errors for messages to users."""

from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiohttp import ClientConnectorError

from services.core.errors import Failure, PermanentFailure, Unavailable

_UNREACHABLE_MESSAGES = (
    "chat not found",
    "user is deactivated",
    "bot can't initiate conversation",
    "peer_id_invalid",
)


def is_user_unreachable(error: TelegramAPIError) -> bool:
    """Whether the user cannot get messages: they blocked the bot, are deactivated, or have never written to it."""
    if isinstance(error, TelegramForbiddenError):
        return True
    return isinstance(error, TelegramBadRequest) and any(
        text in error.message.lower() for text in _UNREACHABLE_MESSAGES
    )


def is_edit_unnecessary(error: TelegramAPIError) -> bool:
    """Whether an edit failed because nothing changed, or the message is gone or can no longer be edited."""
    text = error.message.lower()
    return isinstance(error, TelegramBadRequest) and (
        "message is not modified" in text or "message to edit not found" in text or "can't be edited" in text
    )


def to_delivery_failure(error: TelegramAPIError) -> Failure:
    """Convert the error of a call to a failure: Unavailable if the call may be retried, else PermanentFailure."""
    if isinstance(error, TelegramRetryAfter):
        return Unavailable("failure.telegram", detail=error.message, retry_after=float(error.retry_after))
    if isinstance(error, TelegramServerError | TelegramNetworkError):
        failure = Unavailable("failure.telegram", detail=error.message)
        failure.delivery_unknown = isinstance(error, TelegramNetworkError) and not is_unsent(error)
        return failure
    return PermanentFailure("failure.delivery", detail=error.message)


def is_unsent(error: TelegramNetworkError) -> bool:
    """Whether the connection failed before anything was sent."""
    return isinstance(error.__cause__, ClientConnectorError)
