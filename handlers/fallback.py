"""Handles updates that no other handler takes: text opens a draft's card, other messages and stale buttons get an
answer."""

from aiogram import F, Router
from aiogram.filters import KICKED, MEMBER, ChatMemberUpdatedFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, ChatMemberUpdated, Message

from handlers.context import UserContext, answer_stale
from handlers.filters import PLAIN_TEXT, Matches
from handlers.menu import menu_keyboard
from handlers.order.wizard import open_free_text_order
from services.users.profile import mark_unreachable

router = Router(name="fallback")


@router.message(Matches(F.text.startswith("/")))
async def _unknown_command(message: Message, ctx: UserContext) -> None:
    await ctx.send(ctx.t("other.command"), menu_keyboard(ctx))


@router.message(PLAIN_TEXT)
async def _free_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Open a draft with the text as its prompt. Nothing is ordered until the user confirms."""
    if not await open_free_text_order(ctx, state, message.text or ""):
        await ctx.send(ctx.t("other.message"), menu_keyboard(ctx))


@router.message()
async def _unsupported_message(message: Message, ctx: UserContext) -> None:
    await ctx.send(ctx.t("other.message"), menu_keyboard(ctx))


@router.callback_query()
async def _stale_button(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_stale(callback, ctx)


@router.my_chat_member(ChatMemberUpdatedFilter(KICKED))
async def _bot_blocked(event: ChatMemberUpdated, ctx: UserContext) -> None:
    await mark_unreachable(ctx.db, ctx.user.id)


@router.my_chat_member(ChatMemberUpdatedFilter(MEMBER))
async def _bot_unblocked(event: ChatMemberUpdated) -> None:
    """Do nothing: claiming the update has already made the user active again (storage/updates.py)."""
