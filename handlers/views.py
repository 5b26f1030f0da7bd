"""Pieces of messages that several topics show."""

from collections.abc import Mapping
from typing import Final

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from handlers.context import UserContext
from services.generation.spec import ServiceSpec
from services.messaging.buttons import keyboard, menu_button

STATE_EMOJI: Final[Mapping[str, str]] = {
    "queued": "⏳",
    "running": "⏳",
    "succeeded": "✅",
    "failed": "❌",
    "cancelled": "✖️",
}
"""How a list shows where each order stands, by the job's state."""


def service_name(ctx: UserContext, spec: ServiceSpec) -> str:
    """A service's emoji and name, as its button shows them."""
    return f"{spec.emoji} {ctx.t(f'service.{spec.id}.name')}"


def service_title(ctx: UserContext, spec: ServiceSpec) -> str:
    """A service's emoji and name, as the beginning of a message or a list item in HTML."""
    return f"{spec.emoji} <b>{ctx.t(f'service.{spec.id}.name')}</b>"


def menu_row(ctx: UserContext) -> list[InlineKeyboardButton]:
    """The last row of most keyboards: back to the menu."""
    return [menu_button(ctx.texts, ctx.language)]


def menu_button_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    """A keyboard with nothing but the way back to the menu."""
    return keyboard([menu_row(ctx)])


def balance_lines(ctx: UserContext) -> list[str]:
    """The balance as it was when the update came, in credits.

    Returns:
        What the user can spend; then, where there is any, what running orders hold and what a refund left owing.
    """
    balance = ctx.balance_on_arrival
    lines = [ctx.t("balance.available", balance.available)]
    if balance.held:
        lines.append(ctx.t("balance.held", balance.held))
    if balance.debt:
        lines.append(ctx.t("balance.debt", balance.debt))
    return lines
