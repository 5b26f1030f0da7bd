"""`/broadcast`: put together what is said and to whom, look at it, send it.

The messages are broadcast_content.py's; what is done with a started one is broadcast_control.py's."""

from typing import cast
from uuid import uuid4

from aiogram import F, Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.admin import broadcast_content, broadcast_control
from handlers.admin.access import is_admin
from handlers.admin.broadcast_card import card
from handlers.context import Desk, answer
from services.broadcast.buttons import BroadcastTap
from services.broadcast.content import Audience, audience_of, can_be_paid, group_of, versions_of
from services.broadcast.control import start
from services.broadcast.progress import show_progress
from services.broadcast.telegram_calls import copy
from services.core.errors import Refused
from services.messaging.buttons import button, keyboard
from services.messaging.rate_limiter import PAID_PER_SECOND, PER_SECOND
from storage.messaging.broadcast_recipients import count_audience
from storage.messaging.broadcasts import (
    Broadcast,
    add_broadcast,
    get_broadcast,
    set_audience,
    set_paid,
    set_progress_message,
)

router = Router(name="broadcast")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)
router.include_router(broadcast_content.router)
router.include_router(broadcast_control.router)


@router.message(Command("broadcast"))
async def begin(message: Message, desk: Desk, state: FSMContext) -> None:
    await state.clear()
    draft = await add_broadcast(desk.studio.db, uuid4(), desk.user.id, desk.bot_name)
    await desk.say(*await card(desk, draft))


async def open_draft(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> Broadcast | None:
    """The draft a button belongs to; None, and said so, where it is none any more."""
    draft = await get_broadcast(desk.studio.db, callback_data.id)
    if draft is None or draft.state != "draft":
        await answer(tap, desk.t("stale.button"), alert=True)
        return None
    return draft


@router.callback_query(BroadcastTap.filter(F.action.in_({"all", "language", "active", "orders"})))
async def narrow(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> None:
    """Choose whom; a second tap takes it back. The three ways to narrow go together."""
    draft = await open_draft(tap, desk, callback_data)
    if draft is None:
        return
    await answer(tap)
    audience, value = audience_of(draft), callback_data.value
    match callback_data.action:
        case "language" if value in desk.studio.texts.languages:
            audience = audience.model_copy(update={"language": "" if audience.language == value else value})
        case "active" if value.isdigit():
            days = 0 if audience.active_days == int(value) else min(int(value), 3650)
            audience = audience.model_copy(update={"active_days": days})
        case "orders" if value in ("paid", "never"):
            audience = audience.model_copy(update={"orders": "" if audience.orders == value else value})
        case _:
            audience = Audience()
    changed = await set_audience(desk.studio.db, draft.id, audience.model_dump())
    await desk.show(tap, *await card(desk, changed or draft))


@router.callback_query(BroadcastTap.filter(F.action == "paid"))
async def toggle_paid(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> None:
    draft = await open_draft(tap, desk, callback_data)
    if draft is None:
        return
    paid = not draft.paid and can_be_paid(versions_of(draft))
    if paid:
        await answer(tap, desk.t("broadcast.paid", rate=PAID_PER_SECOND, free=PER_SECOND), alert=True)
    else:
        await answer(tap)
    changed = await set_paid(desk.studio.db, draft.id, paid)
    await desk.show(tap, *await card(desk, changed or draft))


@router.callback_query(BroadcastTap.filter(F.action == "preview"))
async def preview(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> None:
    """Every version as people will see it, and the card below again."""
    draft = await open_draft(tap, desk, callback_data)
    if draft is None:
        return
    await answer(tap)
    for content in versions_of(draft).values():
        try:
            await copy(desk.bot, content, desk.chat_id)
        except TelegramBadRequest as error:
            await desk.say(desk.t("broadcast.cannot_be_sent", why=error.message))
    await desk.say(*await card(desk, draft))


@router.callback_query(BroadcastTap.filter(F.action == "card"))
async def back_to_card(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> None:
    draft = await open_draft(tap, desk, callback_data)
    if draft is not None:
        await answer(tap)
        await desk.show(tap, *await card(desk, draft))


@router.callback_query(BroadcastTap.filter(F.action == "send"))
async def confirm(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap) -> None:
    draft = await open_draft(tap, desk, callback_data)
    if draft is None:
        return
    await answer(tap)
    people = await count_audience(desk.studio.db, group_of(draft))
    sure = button(desk.t("broadcast.button.send", people), BroadcastTap(id=draft.id, action="sure"))
    back = button(desk.t("button.back"), BroadcastTap(id=draft.id, action="card"))
    await desk.show(tap, desk.t("broadcast.confirm", people), keyboard([[sure], [back]]))


@router.callback_query(BroadcastTap.filter(F.action == "sure"))
async def send(tap: CallbackQuery, desk: Desk, callback_data: BroadcastTap, state: FSMContext) -> None:
    draft = await open_draft(tap, desk, callback_data)
    if draft is None:
        return
    message = cast("Message", tap.message)
    await set_progress_message(desk.studio.db, draft.id, message.message_id)  # before anybody shows any progress
    try:
        started = await start(desk.studio.db, draft, desk.user.language)
    except Refused as refused:
        await answer(tap, desk.t(refused.key, **refused.params), alert=True)
        return
    if started is None:
        await answer(tap, desk.t("stale.button"), alert=True)
        return
    desk.dispatcher.relay.poke()
    await answer(tap)
    await state.clear()
    await show_progress(desk.studio, started)


@router.callback_query(BroadcastTap.filter(F.action == "discard"))
async def discard(tap: CallbackQuery, desk: Desk, state: FSMContext) -> None:
    """The draft stays in the table, where it harms nobody; its card is gone."""
    await answer(tap)
    await state.clear()
    await desk.show(tap, desk.t("broadcast.discarded"))
