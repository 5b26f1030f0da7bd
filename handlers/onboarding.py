"""The first minute: three ready prompts, of which each opens the card of a picture with its words filled in."""

from typing import Final

from aiogram import Router
from aiogram.filters.callback_data import CallbackData
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup

from handlers.context import UserContext, answer_callback
from handlers.order.draft import new_draft
from handlers.order.wizard import submit_text
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard

router = Router(name="first_minute")

STARTER_PROMPTS: Final = ("lighthouse", "fox", "street")
"""Their texts are `ready.<name>.button` and `ready.<name>.words`."""


class StarterPromptCallback(CallbackData, prefix="go"):
    """A ready prompt, by its name."""

    name: str


def with_starter_prompts(ctx: UserContext, menu: InlineKeyboardMarkup) -> InlineKeyboardMarkup:
    """The menu, and above it what can be tapped at once."""
    buttons = [button(ctx.t(f"ready.{name}.button"), StarterPromptCallback(name=name)) for name in STARTER_PROMPTS]
    return keyboard([buttons, *menu.inline_keyboard])


@router.callback_query(StarterPromptCallback.filter())
async def _open_starter_prompt(
    callback: CallbackQuery, callback_data: StarterPromptCallback, ctx: UserContext, state: FSMContext
) -> None:
    """The card comes as a message of its own, so that the other prompts stay within reach."""
    spec = next((spec for spec in SERVICES.values() if spec.takes_free_text), None)
    if callback_data.name not in STARTER_PROMPTS or spec is None or spec.text_input is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    await submit_text(ctx, state, new_draft(spec.id), spec.text_input, ctx.t(f"ready.{callback_data.name}.words"))
