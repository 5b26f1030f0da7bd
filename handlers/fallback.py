"""Whatever fits nothing else: words become an order, old buttons and odd messages get a friendly answer."""

from aiogram import F, Router
from aiogram.filters import KICKED, MEMBER, ChatMemberUpdatedFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, ChatMemberUpdated, Message

from handlers.context import Desk, answer
from handlers.menu import menu_keyboard
from handlers.order.draft import new_draft
from handlers.order.wizard import take
from services.generation.registry import SERVICES
from storage.users.users import set_inactive

router = Router(name="other")


@router.message(F.text.startswith("/"))
async def unknown_command(message: Message, desk: Desk) -> None:
    await desk.say(desk.t("other.command"), menu_keyboard(desk))


@router.message(F.text)
async def free_text(message: Message, desk: Desk, state: FSMContext) -> None:
    """Words out of the blue open the card of the service that takes them; nothing is ordered by that."""
    spec = next((spec for spec in SERVICES.values() if spec.takes_free_text), None)
    if spec is None or spec.text_input is None:
        await desk.say(desk.t("other.message"), menu_keyboard(desk))
        return
    await take(desk, state, new_draft(spec.id), spec.text_input, message.text or "")


@router.message()
async def other_message(message: Message, desk: Desk) -> None:
    await desk.say(desk.t("other.message"), menu_keyboard(desk))


@router.callback_query()
async def stale_button(tap: CallbackQuery, desk: Desk) -> None:
    await answer(tap, desk.t("stale.button"), alert=True)


@router.my_chat_member(ChatMemberUpdatedFilter(KICKED))
async def blocked(event: ChatMemberUpdated, desk: Desk) -> None:
    await set_inactive(desk.studio.db, desk.user.id)


@router.my_chat_member(ChatMemberUpdatedFilter(MEMBER))
async def unblocked(event: ChatMemberUpdated) -> None:
    """Meeting the person has made them active again already."""
