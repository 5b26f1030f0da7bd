"""Formatted text: Telegram's HTML and Markdown, entities and limits."""
