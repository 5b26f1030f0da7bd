"""Broadcasts: one message to all users, or to some, as fast as Telegram allows."""
