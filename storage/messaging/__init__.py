"""Broadcasts and notifications."""
