"""What a broadcast says: the admin's next message, an album, lines that become buttons; an edit's new words."""

import asyncio
from uuid import UUID

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, Message

from handlers.admin.access import is_admin
from handlers.admin.broadcast_card import draft_card, version_name
from handlers.context import UserContext, answer_callback
from services.broadcast.buttons import BroadcastCallback
from services.broadcast.content import FOR_ALL, Content, content_from_message, content_versions, parse_buttons
from services.broadcast.control import edit_or_delete
from services.broadcast.progress import show_progress
from services.core.errors import InvalidRequest
from storage.messaging.broadcasts import Broadcast, get_broadcast, set_content

router = Router(name="broadcast content")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_ALBUM_WAIT_SECONDS = 1.0
_NOT_A_COMMAND = ~F.text.startswith("/")
"""A command ends nothing here: it goes to its own handler."""


class Broadcasting(StatesGroup):
    writing = State()
    """The next message is the broadcast's."""
    album = State()
    """The first message of an album is there; the others come."""
    links = State()
    """The next message's lines become buttons."""
    editing = State()
    """The next message holds the new words of what was sent."""


@router.callback_query(BroadcastCallback.filter(F.action.in_({"write", "links", "edit"})))
async def _ask(
    callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback, state: FSMContext
) -> None:
    broadcast = await get_broadcast(ctx.app.db, callback_data.id)
    editing, key = callback_data.action == "edit", callback_data.value
    states = ("stopped", "done") if editing else ("draft",)
    known = key == FOR_ALL or key in ctx.app.texts.languages
    if broadcast is None or broadcast.state not in states or not known:
        await answer_callback(callback, ctx.t("stale.button"), alert=True)
        return
    await answer_callback(callback)
    next_state = {"write": Broadcasting.writing, "links": Broadcasting.links, "edit": Broadcasting.editing}
    await state.set_data({"broadcast": str(broadcast.id), "version": key})
    await state.set_state(next_state[callback_data.action])
    await ctx.send(ctx.t(f"broadcast.ask.{callback_data.action}", version=version_name(ctx, key)))


async def _current_version(ctx: UserContext, state: FSMContext) -> tuple[Broadcast, str] | None:
    """The broadcast that the conversation is about, and the version; None, and said so, where it is gone."""
    data = await state.get_data()
    broadcast = await get_broadcast(ctx.app.db, UUID(data["broadcast"])) if "broadcast" in data else None
    if broadcast is None:
        await state.clear()
        await ctx.send(ctx.t("stale.button"))
        return None
    return broadcast, data["version"]


@router.message(Broadcasting.writing, _NOT_A_COMMAND)
async def _receive_message(message: Message, ctx: UserContext, state: FSMContext) -> None:
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    content = content_from_message(message)
    if content.album:
        await state.update_data(album=content.album)
        await state.set_state(Broadcasting.album)
        await _save_version(ctx, broadcast, key, content)
        ctx.app.background.spawn(_show_card_after_album(ctx, state, broadcast.id), f"album-{ctx.chat_id}")
        return
    await state.clear()
    previous = content_versions(broadcast).get(key)
    if previous is not None:
        content = content.model_copy(update={"buttons": previous.buttons})
    await _send_card(ctx, await _save_version(ctx, broadcast, key, content))


@router.message(Broadcasting.album, F.media_group_id)
async def _receive_album_part(message: Message, ctx: UserContext, state: FSMContext) -> None:
    if (await state.get_data()).get("album") != message.media_group_id:
        raise SkipHandler
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    await _save_version(ctx, broadcast, key, content_versions(broadcast)[key].with_message(message))


async def _show_card_after_album(ctx: UserContext, state: FSMContext, broadcast_id: UUID) -> None:
    """Telegram sends an album as single messages and never says which is the last."""
    await asyncio.sleep(_ALBUM_WAIT_SECONDS)
    await state.clear()
    await _send_card(ctx, await get_broadcast(ctx.app.db, broadcast_id))


@router.message(Broadcasting.links, F.text, _NOT_A_COMMAND)
async def _receive_links(message: Message, ctx: UserContext, state: FSMContext) -> None:
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    content = content_versions(broadcast).get(key)
    try:
        buttons = parse_buttons(message.text or "")
    except InvalidRequest as refused:
        await ctx.send(ctx.t(refused.key, **refused.params))
        return
    await state.clear()
    if content is not None:
        await _send_card(
            ctx, await _save_version(ctx, broadcast, key, content.model_copy(update={"buttons": buttons}))
        )


@router.message(Broadcasting.editing, _NOT_A_COMMAND)
async def _receive_edit(message: Message, ctx: UserContext, state: FSMContext) -> None:
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    text = message.text or message.caption
    if not text:
        await ctx.send(ctx.t("broadcast.edit_needs_words"))
        return
    await state.clear()
    change = {"version": key, "html": message.html_text}
    try:
        revised = await edit_or_delete(ctx.app.db, broadcast, "edit", change, ctx.user.language)
    except InvalidRequest as refused:
        await ctx.send(ctx.t(refused.key, **refused.params))
        return
    if revised is None:
        await ctx.send(ctx.t("stale.button"))
        return
    ctx.dispatcher.publisher.wake()
    await show_progress(ctx.app, revised)


async def _save_version(ctx: UserContext, broadcast: Broadcast, key: str, content: Content) -> Broadcast | None:
    versions = {**broadcast.content, key: content.model_dump(mode="json")}
    return await set_content(ctx.app.db, broadcast.id, versions)


async def _send_card(ctx: UserContext, draft: Broadcast | None) -> None:
    if draft is None or draft.state != "draft":
        await ctx.send(ctx.t("stale.button"))
    else:
        await ctx.send(*await draft_card(ctx, draft))
