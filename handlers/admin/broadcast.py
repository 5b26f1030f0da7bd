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
from handlers.admin.broadcast_card import draft_card
from handlers.context import UserContext, answer_callback
from services.broadcast.buttons import BroadcastCallback
from services.broadcast.content import (
    Audience,
    broadcast_audience,
    build_audience_filter,
    can_be_paid,
    content_versions,
)
from services.broadcast.control import start
from services.broadcast.progress import show_progress
from services.broadcast.telegram_calls import send_copy
from services.core.errors import InvalidRequest
from services.messaging.buttons import button, keyboard
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND
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
async def _create_draft(message: Message, ctx: UserContext, state: FSMContext) -> None:
    await state.clear()
    draft = await add_broadcast(ctx.app.db, uuid4(), ctx.user.id, ctx.bot_name)
    await ctx.send(*await draft_card(ctx, draft))


async def _load_draft(
    callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback
) -> Broadcast | None:
    """The draft a button belongs to; None, and said so, where it is none any more."""
    draft = await get_broadcast(ctx.app.db, callback_data.id)
    if draft is None or draft.state != "draft":
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return None
    return draft


@router.callback_query(BroadcastCallback.filter(F.action.in_({"all", "language", "active", "orders"})))
async def _change_audience(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    """Choose whom; a second tap takes it back. The three ways to narrow go together."""
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    await answer_callback(callback)
    audience, value = broadcast_audience(draft), callback_data.value
    match callback_data.action:
        case "language" if value in ctx.app.texts.languages:
            audience = audience.model_copy(update={"language": "" if audience.language == value else value})
        case "active" if value.isdigit():
            days = 0 if audience.active_days == int(value) else min(int(value), 3650)
            audience = audience.model_copy(update={"active_days": days})
        case "orders" if value in ("paid", "never"):
            audience = audience.model_copy(update={"orders": "" if audience.orders == value else value})
        case _:
            audience = Audience()
    changed = await set_audience(ctx.app.db, draft.id, audience.model_dump())
    await ctx.edit_or_send(callback, *await draft_card(ctx, changed or draft))


@router.callback_query(BroadcastCallback.filter(F.action == "paid"))
async def _toggle_paid(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    paid = not draft.paid and can_be_paid(content_versions(draft))
    if paid:
        await answer_callback(
            callback, ctx.t("broadcast.paid", rate=PAID_MESSAGES_PER_SECOND, free=MESSAGES_PER_SECOND), alert=True
        )
    else:
        await answer_callback(callback)
    changed = await set_paid(ctx.app.db, draft.id, paid)
    await ctx.edit_or_send(callback, *await draft_card(ctx, changed or draft))


@router.callback_query(BroadcastCallback.filter(F.action == "preview"))
async def _preview(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    """Every version as people will see it, and the card below again."""
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    await answer_callback(callback)
    for content in content_versions(draft).values():
        try:
            await send_copy(ctx.bot, content, ctx.chat_id)
        except TelegramBadRequest as error:
            await ctx.send(ctx.t("broadcast.cannot_be_sent", why=error.message))
    await ctx.send(*await draft_card(ctx, draft))


@router.callback_query(BroadcastCallback.filter(F.action == "card"))
async def _show_card(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is not None:
        await answer_callback(callback)
        await ctx.edit_or_send(callback, *await draft_card(ctx, draft))


@router.callback_query(BroadcastCallback.filter(F.action == "send"))
async def _confirm(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    await answer_callback(callback)
    recipients = await count_audience(ctx.app.db, build_audience_filter(draft))
    sure = button(ctx.t("broadcast.button.send", recipients), BroadcastCallback(id=draft.id, action="sure"))
    back = button(ctx.t("button.back"), BroadcastCallback(id=draft.id, action="card"))
    await ctx.edit_or_send(callback, ctx.t("broadcast.confirm", recipients), keyboard([[sure], [back]]))


@router.callback_query(BroadcastCallback.filter(F.action == "sure"))
async def _send(
    callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback, state: FSMContext
) -> None:
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    message = cast("Message", callback.message)
    await set_progress_message(ctx.app.db, draft.id, message.message_id)  # before anybody shows any progress
    try:
        started = await start(ctx.app.db, draft, ctx.user.language)
    except InvalidRequest as refused:
        await answer_callback(callback, ctx.t(refused.key, **refused.params), alert=True)
        return
    if started is None:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    ctx.dispatcher.publisher.wake()
    await answer_callback(callback)
    await state.clear()
    await show_progress(ctx.app, started)


@router.callback_query(BroadcastCallback.filter(F.action == "discard"))
async def _discard(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    """The draft stays in the table, where it harms nobody; its card is gone."""
    await answer_callback(callback)
    await state.clear()
    await ctx.edit_or_send(callback, ctx.t("broadcast.discarded"))
