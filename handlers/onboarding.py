"""The first minute: three ready prompts, of which each opens the card of a picture with its words filled in."""

from typing import Final

from aiogram import Router
from aiogram.filters.callback_data import CallbackData
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup

from handlers.context import Desk, answer
from handlers.order.draft import new_draft
from handlers.order.wizard import take
from services.generation.registry import SERVICES
from services.messaging.buttons import button, keyboard

router = Router(name="first_minute")

READY: Final = ("lighthouse", "fox", "street")
"""Their texts are `ready.<name>.button` and `ready.<name>.words`."""


class ReadyTap(CallbackData, prefix="go"):
    """A ready prompt, by its name."""

    name: str


def with_ready_prompts(desk: Desk, menu: InlineKeyboardMarkup) -> InlineKeyboardMarkup:
    """The menu, and above it what can be tapped at once."""
    ready = [button(desk.t(f"ready.{name}.button"), ReadyTap(name=name)) for name in READY]
    return keyboard([ready, *menu.inline_keyboard])


@router.callback_query(ReadyTap.filter())
async def take_ready(tap: CallbackQuery, callback_data: ReadyTap, desk: Desk, state: FSMContext) -> None:
    """The card comes as a message of its own, so that the other prompts stay within reach."""
    spec = next((spec for spec in SERVICES.values() if spec.takes_free_text), None)
    if callback_data.name not in READY or spec is None or spec.text_input is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    await answer(tap)
    await take(desk, state, new_draft(spec.id), spec.text_input, desk.t(f"ready.{callback_data.name}.words"))
