"""A stand-in for Telegram: Bot API, the person's side, and a chat page in the browser."""

from sandbox.telegram.server import TelegramStand, create_telegram

__all__ = ["TelegramStand", "create_telegram"]
