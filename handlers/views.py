"""Parts of messages that several topics share."""

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
"""The emoji for each job state in lists of orders."""


def service_name(ctx: UserContext, spec: ServiceSpec) -> str:
    """A service's emoji and name as plain text, for buttons."""
    return f"{spec.emoji} {ctx.t(f'service.{spec.id}.name')}"


def service_title(ctx: UserContext, spec: ServiceSpec) -> str:
    """A service's emoji and name as HTML, to begin a message or a list item with."""
    return f"{spec.emoji} <b>{ctx.t(f'service.{spec.id}.name')}</b>"


def menu_row(ctx: UserContext) -> list[InlineKeyboardButton]:
    """The last row of most keyboards, with the menu button."""
    return [menu_button(ctx.texts, ctx.language)]


def menu_button_keyboard(ctx: UserContext) -> InlineKeyboardMarkup:
    """A keyboard with only the menu button."""
    return keyboard([menu_row(ctx)])


def balance_lines(ctx: UserContext) -> list[str]:
    """The balance when the update arrived, in credits.

    Returns:
        A line with the available credits, and if there are any, one with those held for orders and one with the debt.
    """
    balance = ctx.balance_on_arrival
    lines = [ctx.t("balance.available", balance.available)]
    if balance.held:
        lines.append(ctx.t("balance.held", balance.held))
    if balance.debt:
        lines.append(ctx.t("balance.debt", balance.debt))
    return lines
