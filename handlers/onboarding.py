"""Starter prompts for new users: three prompts, each of which opens a card that only has to be confirmed."""

from typing import Final

from aiogram import Router
from aiogram.filters.callback_data import CallbackData
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup

from handlers.context import UserContext, answer_callback, answer_stale
from handlers.order.wizard import open_free_text_order
from services.messaging.buttons import button, keyboard

router = Router(name="onboarding")

_STARTER_PROMPTS: Final = ("lighthouse", "fox", "street")
"""Their texts are `ready.<name>.button` and `ready.<name>.words`."""


class StarterPromptCallback(CallbackData, prefix="go"):
    """Uses a starter prompt.

    Attributes:
        name: One of _STARTER_PROMPTS.
    """

    name: str


def with_starter_prompts(ctx: UserContext, menu: InlineKeyboardMarkup) -> InlineKeyboardMarkup:
    """The menu with a row of starter prompts above it."""
    buttons = [
        button(ctx.t(f"ready.{name}.button"), StarterPromptCallback(name=name)) for name in _STARTER_PROMPTS
    ]
    return keyboard([buttons, *menu.inline_keyboard])


@router.callback_query(StarterPromptCallback.filter())
async def _open_starter_prompt(
    callback: CallbackQuery, callback_data: StarterPromptCallback, ctx: UserContext, state: FSMContext
) -> None:
    """Send the card as a new message, so that the other prompts can still be tapped."""
    if callback_data.name not in _STARTER_PROMPTS:
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    await open_free_text_order(ctx, state, ctx.t(f"ready.{callback_data.name}.words"))
