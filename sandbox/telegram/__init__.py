"""A Telegram server for development and tests: the Bot API, a control API that acts for users, and a chat page."""

from sandbox.telegram.server import TelegramServer

__all__ = ["TelegramServer"]
