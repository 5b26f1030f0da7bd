"""A stand-in for Telegram: Bot API, the person's side, and a chat page in the browser."""

from sandbox.telegram.server import TelegramServer, create_telegram_server

__all__ = ["TelegramServer", "create_telegram_server"]
