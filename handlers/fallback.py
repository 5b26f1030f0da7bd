"""Whatever fits nothing else: words become an order, old buttons and odd messages get a friendly answer."""

from aiogram import F, Router
from aiogram.filters import KICKED, MEMBER, ChatMemberUpdatedFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, ChatMemberUpdated, Message

from handlers.context import UserContext, answer_callback
from handlers.menu import menu_keyboard
from handlers.order.draft import new_draft
from handlers.order.wizard import submit_text
from services.generation.registry import SERVICES
from storage.users.users import set_inactive

router = Router(name="other")


@router.message(F.text.startswith("/"))
async def _unknown_command(message: Message, ctx: UserContext) -> None:
    await ctx.send(ctx.t("other.command"), menu_keyboard(ctx))


@router.message(F.text)
async def _free_text(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Words out of the blue open the card of the service that takes them; nothing is ordered by that."""
    spec = next((spec for spec in SERVICES.values() if spec.takes_free_text), None)
    if spec is None or spec.text_input is None:
        await ctx.send(ctx.t("other.message"), menu_keyboard(ctx))
        return
    await submit_text(ctx, state, new_draft(spec.id), spec.text_input, message.text or "")


@router.message()
async def _unsupported_message(message: Message, ctx: UserContext) -> None:
    await ctx.send(ctx.t("other.message"), menu_keyboard(ctx))


@router.callback_query()
async def _stale_button(callback: CallbackQuery, ctx: UserContext) -> None:
    await answer_callback(callback, ctx.t("stale.button"), alert=True)


@router.my_chat_member(ChatMemberUpdatedFilter(KICKED))
async def _bot_blocked(event: ChatMemberUpdated, ctx: UserContext) -> None:
    await set_inactive(ctx.app.db, ctx.user.id)


@router.my_chat_member(ChatMemberUpdatedFilter(MEMBER))
async def _bot_unblocked(event: ChatMemberUpdated) -> None:
    """Meeting the person has made them active again already."""
