"""`/broadcast`: prepare a draft, start it, and control it while it runs and afterwards.

broadcast_content.py handles the messages that an admin sends for a broadcast; broadcast_card.py shows the draft.
"""

from typing import cast

from aiogram import F, Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message

from handlers.admin import broadcast_content
from handlers.admin.access import is_admin
from handlers.admin.broadcast_card import draft_card
from handlers.context import UserContext, answer_callback, answer_stale
from services.broadcast import control
from services.broadcast.content import (
    Audience,
    broadcast_audience,
    can_be_paid,
    content_versions,
    count_audience,
)
from services.broadcast.progress import BroadcastCallback, show_progress
from services.broadcast.tasks import send_copy
from services.core.errors import InvalidRequest
from services.messaging.buttons import button, keyboard
from services.messaging.rate_limiter import MESSAGES_PER_SECOND, PAID_MESSAGES_PER_SECOND
from storage.messaging.broadcasts import Broadcast

router = Router(name="broadcast")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)
router.include_router(broadcast_content.router)

_MAX_ACTIVE_DAYS = 3650


@router.message(Command("broadcast"))
async def _broadcast(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Prepare a broadcast: one message to many users."""
    await create_draft(state, ctx)


async def create_draft(state: FSMContext, ctx: UserContext, args: str = "") -> None:
    """Create an empty draft and show its card.

    Args:
        state: The admin's conversation, which is cleared.
        ctx: The admin.
        args: The text after the command; ignored.
    """
    await state.clear()
    draft = await control.create_draft(ctx.db, ctx.user.id, ctx.bot_name)
    await ctx.send(*await draft_card(ctx, draft))


async def _load_draft(
    callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback
) -> Broadcast | None:
    """The draft that a button belongs to. If it is no longer a draft, answer the callback and return None."""
    draft = await control.find_draft(ctx.db, callback_data.id)
    if draft is None:
        await answer_stale(callback, ctx)
    return draft


@router.callback_query(BroadcastCallback.filter(F.action.in_({"all", "language", "active", "orders"})))
async def _change_audience(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    """Narrow the audience by one of three conditions. A second tap removes the condition."""
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    await answer_callback(callback)
    audience, value = broadcast_audience(draft), callback_data.value
    match callback_data.action:
        case "language" if value in ctx.texts.languages:
            audience = audience.model_copy(update={"language": "" if audience.language == value else value})
        case "active" if value.isdigit():
            days = 0 if audience.active_days == int(value) else min(int(value), _MAX_ACTIVE_DAYS)
            audience = audience.model_copy(update={"active_days": days})
        case "orders" if value in ("paid", "never"):
            audience = audience.model_copy(update={"orders": "" if audience.orders == value else value})
        case _:
            audience = Audience()
    changed = await control.set_audience(ctx.db, draft.id, audience)
    await ctx.edit_or_send(callback, *await draft_card(ctx, changed or draft))


@router.callback_query(BroadcastCallback.filter(F.action == "paid"))
async def _toggle_paid(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    paid = not draft.paid and can_be_paid(content_versions(draft))
    if paid:
        text = ctx.t("broadcast.paid", rate=PAID_MESSAGES_PER_SECOND, free=MESSAGES_PER_SECOND)
        await answer_callback(callback, text, alert=True)
    else:
        await answer_callback(callback)
    changed = await control.set_paid(ctx.db, draft.id, paid)
    await ctx.edit_or_send(callback, *await draft_card(ctx, changed or draft))


@router.callback_query(BroadcastCallback.filter(F.action == "preview"))
async def _preview(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    """Send the admin every version as users will get it, followed by the card."""
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
async def _confirm_start(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    await answer_callback(callback)
    recipients = await count_audience(ctx.db, draft)
    sure = button(ctx.t("broadcast.button.send", recipients), BroadcastCallback(id=draft.id, action="sure"))
    back = button(ctx.t("button.back"), BroadcastCallback(id=draft.id, action="card"))
    await ctx.edit_or_send(callback, ctx.t("broadcast.confirm", recipients), keyboard([[sure], [back]]))


@router.callback_query(BroadcastCallback.filter(F.action == "sure"))
async def _start(
    callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback, state: FSMContext
) -> None:
    """Start the broadcast. The card becomes its progress message."""
    draft = await _load_draft(callback, ctx, callback_data)
    if draft is None:
        return
    card = cast("Message", callback.message)
    try:
        started = await control.start(ctx.db, draft, ctx.language, progress_message_id=card.message_id)
    except InvalidRequest as refused:
        await answer_callback(callback, ctx.failure_text(refused), alert=True)
        return
    if started is None:
        await answer_stale(callback, ctx)
        return
    ctx.publisher.wake()
    await answer_callback(callback)
    await state.clear()
    await show_progress(ctx.messenger, started)


@router.callback_query(BroadcastCallback.filter(F.action == "discard"))
async def _discard(callback: CallbackQuery, ctx: UserContext, state: FSMContext) -> None:
    """Remove the draft's card. The draft itself stays in the table, unused."""
    await answer_callback(callback)
    await state.clear()
    await ctx.edit_or_send(callback, ctx.t("broadcast.discarded"))


@router.callback_query(BroadcastCallback.filter(F.action.in_({"pause", "stop", "resume", "delete_sure"})))
async def _control(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    """Do what the button says if that is still possible. The progress message then shows the state."""
    broadcast = await control.find_broadcast(ctx.db, callback_data.id)
    if broadcast is None:
        await answer_stale(callback, ctx)
        return
    try:
        changed = await _apply_action(ctx, broadcast, callback_data.action)
    except InvalidRequest as refused:
        await answer_callback(callback, ctx.failure_text(refused), alert=True)
        return
    await answer_callback(callback)
    current = changed or (await control.find_broadcast(ctx.db, broadcast.id)) or broadcast
    await show_progress(ctx.messenger, current)


async def _apply_action(ctx: UserContext, broadcast: Broadcast, action: str) -> Broadcast | None:
    """Apply the action and return the changed broadcast; None if its state does not allow it. Raises InvalidRequest."""
    match action:
        case "pause":
            return await control.pause(ctx.db, broadcast.id)
        case "stop":
            return await control.stop(ctx.db, broadcast.id)
        case "resume":
            changed = await control.resume(ctx.db, broadcast, ctx.language)
        case _:
            changed = await control.delete(ctx.db, broadcast, ctx.language)
    ctx.publisher.wake()
    return changed


@router.callback_query(BroadcastCallback.filter(F.action == "delete"))
async def _confirm_delete(callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback) -> None:
    await answer_callback(callback)
    sure = BroadcastCallback(id=callback_data.id, action="delete_sure")
    await ctx.send(ctx.t("broadcast.confirm_delete"), keyboard([[button(ctx.t("broadcast.button.delete"), sure)]]))
