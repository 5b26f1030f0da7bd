"""Broadcasts: one message to everybody, or to some, at the pace that Telegram allows."""
