"""Broadcasts: one message to all or some users, sent as fast as Telegram allows."""
