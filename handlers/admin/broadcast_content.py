"""The messages an admin sends for a broadcast: a version, an album, lines for link buttons, the text of an edit."""

import asyncio
from typing import Final
from uuid import UUID

from aiogram import F, Router
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.filters import StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, Message

from handlers.admin.access import is_admin
from handlers.admin.broadcast_card import draft_card, version_name
from handlers.context import UserContext, answer_callback, answer_stale
from handlers.filters import PLAIN_TEXT, Matches
from services.broadcast import control
from services.broadcast.content import FOR_ALL, content_from_message, content_versions, parse_buttons
from services.broadcast.progress import BroadcastCallback, show_progress
from services.core.errors import InvalidRequest
from storage.messaging.broadcasts import Broadcast

router = Router(name="broadcast content")
router.message.filter(is_admin)
router.callback_query.filter(is_admin)

_ALBUM_WAIT_SECONDS: Final = 1.0
_NOT_A_COMMAND: Final = Matches(~F.text.startswith("/"))
"""Any message except a command: commands go to their own handlers."""


class Broadcasting(StatesGroup):
    """What the admin's next message is for.

    Attributes:
        writing: It is a version of the broadcast.
        album: It is the next part of an album whose first part has arrived.
        links: Its lines become link buttons.
        editing: It is the new text of the messages that were sent.
    """

    writing = State()
    album = State()
    links = State()
    editing = State()


_STATES: Final = {"write": Broadcasting.writing, "links": Broadcasting.links, "edit": Broadcasting.editing}


@router.callback_query(BroadcastCallback.filter(F.action.in_(set(_STATES))))
async def _ask(
    callback: CallbackQuery, ctx: UserContext, callback_data: BroadcastCallback, state: FSMContext
) -> None:
    """Ask for the message that the button is for."""
    broadcast = await control.find_broadcast(ctx.db, callback_data.id)
    action, key = callback_data.action, callback_data.value
    fitting_states = ("stopped", "done") if action == "edit" else ("draft",)
    is_version = key == FOR_ALL or key in ctx.texts.languages
    if broadcast is None or broadcast.state not in fitting_states or not is_version:
        await answer_stale(callback, ctx)
        return
    await answer_callback(callback)
    await state.set_data({"broadcast": str(broadcast.id), "version": key})
    await state.set_state(_STATES[action])
    await ctx.send(ctx.t(f"broadcast.ask.{action}", version=version_name(ctx, key)))


async def _current_version(ctx: UserContext, state: FSMContext) -> tuple[Broadcast, str] | None:
    """The broadcast that the conversation is about, and the key of the version.

    If the broadcast no longer exists, end the conversation, tell the admin and return None.
    """
    data = await state.get_data()
    broadcast = await control.find_broadcast(ctx.db, UUID(data["broadcast"])) if "broadcast" in data else None
    if broadcast is None:
        await state.clear()
        await ctx.send(ctx.t("stale.button"))
        return None
    return broadcast, data["version"]


@router.message(StateFilter(Broadcasting.writing), _NOT_A_COMMAND)
async def _receive_message(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Use a message as a version. It keeps the buttons of the version that it replaces."""
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    content = content_from_message(message)
    if content.album:
        await state.update_data(album=content.album)
        await state.set_state(Broadcasting.album)
        await control.set_version(ctx.db, broadcast, key, content)
        ctx.background.spawn(_show_card_after_album(ctx, state, broadcast.id), f"album-{ctx.chat_id}")
        return
    await state.clear()
    previous = content_versions(broadcast).get(key)
    if previous is not None:
        content = content.model_copy(update={"buttons": previous.buttons})
    await _send_card(ctx, await control.set_version(ctx.db, broadcast, key, content))


@router.message(StateFilter(Broadcasting.album), Matches(F.media_group_id))
async def _receive_album_part(message: Message, ctx: UserContext, state: FSMContext) -> None:
    if (await state.get_data()).get("album") != message.media_group_id:
        raise SkipHandler
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    album = content_versions(broadcast)[key].with_message(message)
    await control.set_version(ctx.db, broadcast, key, album)


async def _show_card_after_album(ctx: UserContext, state: FSMContext, broadcast_id: UUID) -> None:
    """Show the card once the album is complete.

    Telegram sends an album as separate messages, and none of them says that it is the last, so this waits a while.
    """
    await asyncio.sleep(_ALBUM_WAIT_SECONDS)
    await state.clear()
    await _send_card(ctx, await control.find_draft(ctx.db, broadcast_id))


@router.message(StateFilter(Broadcasting.links), PLAIN_TEXT)
async def _receive_links(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Put link buttons under a version. If the lines are invalid, say why and keep waiting for them."""
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    try:
        buttons = parse_buttons(message.text or "")
    except InvalidRequest as refused:
        await ctx.send(ctx.failure_text(refused))
        return
    await state.clear()
    content = content_versions(broadcast).get(key)
    if content is not None:
        content = content.model_copy(update={"buttons": buttons})
        await _send_card(ctx, await control.set_version(ctx.db, broadcast, key, content))


@router.message(StateFilter(Broadcasting.editing), _NOT_A_COMMAND)
async def _receive_edit(message: Message, ctx: UserContext, state: FSMContext) -> None:
    """Edit the text or caption of the messages that were sent."""
    if (current := await _current_version(ctx, state)) is None:
        return
    broadcast, key = current
    if not (message.text or message.caption):
        await ctx.send(ctx.t("broadcast.edit_needs_words"))
        return
    await state.clear()
    try:
        running = await control.edit(ctx.db, broadcast, key, message.html_text, ctx.language)
    except InvalidRequest as refused:
        await ctx.send(ctx.failure_text(refused))
        return
    if running is None:
        await ctx.send(ctx.t("stale.button"))
        return
    ctx.publisher.wake()
    await show_progress(ctx.messenger, running)


async def _send_card(ctx: UserContext, draft: Broadcast | None) -> None:
    """Send a draft's card. None stands for a broadcast that is no longer a draft."""
    if draft is None:
        await ctx.send(ctx.t("stale.button"))
    else:
        await ctx.send(*await draft_card(ctx, draft))
